"""The S3 objects that a reference may name: those of one bucket under its prefixes, checked before any call to S3.

Notifications, requests and parameters of runs name a bucket and a key, which may be any. Keys are compared byte for byte
as S3 stores them; they are decoded once, where they are read (`inbound.notifications`).

Source: Amazon S3 user guide, "Naming Amazon S3 objects" (length of keys; period-only segments), November 2026.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_MOST_KEY_BYTES = 1024
#: HTTP clients remove such segments from a path, and would fetch another object than the one that was checked.
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class ObjectScope:
    """The objects that may be read: those of `bucket` with a key under one of `prefixes`; the prefix "" allows every key."""

    bucket: str
    prefixes: tuple[str, ...]

    def fault(self, bucket: str, key: str) -> str | None:
        """Return why an object is out of scope (`bucket`, `key` or `prefix`), or None if it is in scope."""
        if not self.bucket or bucket != self.bucket:
            return "bucket"
        if _DOTS.intersection(key.split("/")) or len(key.encode("utf-8", "surrogatepass")) > _MOST_KEY_BYTES:
            return "key"
        return None if is_under(key, self.prefixes) else "prefix"


def is_under(key: str, prefixes: Iterable[str]) -> bool:
    """Return whether a key begins with one of these prefixes.

    A prefix that ends in a letter or digit is a folder: `in` matches `in/abc`, but neither `inside/abc` nor `in-2/abc`.
    """
    return any(key.startswith(_as_folder(prefix)) for prefix in prefixes)


def _as_folder(prefix: str) -> str:
    return f"{prefix}/" if prefix[-1:].isalnum() else prefix
