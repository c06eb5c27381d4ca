"""Which S3 objects a reference in a message may name: those of one bucket under its prefixes, decided before S3 is asked.

A notice, a request or the parameters of a run name a bucket and a key, and their writer could name anybody's. Keys are
compared as S3 keeps them, letter by letter: decoding is the reader's part (`inbound.notifications`) and is done once.

Source: Amazon S3 user guide, "Naming Amazon S3 objects" (length of keys; period-only segments), November 2026.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_MOST_KEY_BYTES = 1024
#: HTTP clients take such a segment out of the path, and ask for another object than the one that was checked.
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class ObjectScope:
    """The objects that may be read: those of `bucket` with a key under one of `prefixes`; the prefix "" is all of it."""

    bucket: str
    prefixes: tuple[str, ...]

    def fault(self, bucket: str, key: str) -> str | None:
        """Return what puts an object outside (`bucket`, `key` or `prefix`), or None where it is within."""
        if not self.bucket or bucket != self.bucket:
            return "bucket"
        if _DOTS.intersection(key.split("/")) or len(key.encode("utf-8", "surrogatepass")) > _MOST_KEY_BYTES:
            return "key"
        return None if is_under(key, self.prefixes) else "prefix"


def is_under(key: str, prefixes: Iterable[str]) -> bool:
    """Return whether a key begins with one of these prefixes.

    A prefix that ends in a letter or digit is a folder: `in` has `in/abc`, and neither `inside/abc` nor `in-2/abc`.
    """
    return any(key.startswith(_as_folder(prefix)) for prefix in prefixes)


def _as_folder(prefix: str) -> str:
    return f"{prefix}/" if prefix[-1:].isalnum() else prefix
