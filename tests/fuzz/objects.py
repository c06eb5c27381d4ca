"""Coverage-guided search for an object that the decryptor fails on, or decrypts to anything but the original mail.

    .cache/fuzz/bin/python -m tests.fuzz.objects FOLDER... [libFuzzer's options]

An input is a recorded object by its number, then lines that change its metadata (the first byte tells which name, the rest
is its text), a zero byte, and what its body is XORed with.
"""

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["mailroom.domain.inbound.envelope_encryption", "mailroom.domain.inbound.s3_encryption"]
):
    from mailroom.domain.errors import Quarantined, Reason
    from mailroom.domain.inbound.envelope_encryption import Binding, Forms, unseal
    from mailroom.testing.keys import MemoryDataKeys

_VECTORS = json.loads(Path("tests/data/s3_encryption/vectors.json").read_text())
_OBJECTS = [
    (base64.b64decode(one["body"]), one["metadata"], base64.b64decode(one["plain"]), base64.b64decode(one["data_key"]))
    for one in _VECTORS["objects"]
]
_NAMES = sorted({name for _, metadata, _, _ in _OBJECTS for name in metadata} | {"x-amz-key"})
_BINDING = Binding(_VECTORS["account"], _VECTORS["message_id"], key=f"docs/{_VECTORS['message_id']}")
_FORMS = Forms(clients=("docs/",))


class _Keys(MemoryDataKeys):
    """Returns one data key for any request: the worst that a key service could do."""

    def __init__(self, data_key: bytes) -> None:
        super().__init__()
        self._data_key = data_key

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        return self._data_key


def one_input(data: bytes) -> None:
    """Open one changed object."""
    if not data:
        return
    body, metadata, plain, data_key = _OBJECTS[data[0] % len(_OBJECTS)]
    output, _, mask = data[1:].partition(b"\x00")
    lines = [line for line in output.split(b"\n") if line]
    changes = {_NAMES[line[0] % len(_NAMES)]: line[1:].decode("utf-8", "replace") for line in lines}
    changed = bytes(a ^ b for a, b in zip(body, mask.ljust(len(body), b"\x00"), strict=False))
    try:
        opened = unseal(changed, metadata | changes, keys=_Keys(data_key), binding=_BINDING, forms=_FORMS)
    except Quarantined as refused:
        if refused.reason not in (Reason.NOT_DECRYPTABLE, Reason.NOT_BOUND, Reason.NOT_ENCRYPTED):
            raise
    else:
        if opened != plain:
            raise AssertionError("something else than the mail was released")


def seeds() -> list[bytes]:
    """Return each recorded object unchanged, with each text of its metadata repeated."""
    said = [
        (at, bytes([_NAMES.index(name)]) + text.encode())
        for at, (_, metadata, _, _) in enumerate(_OBJECTS)
        for name, text in metadata.items()
    ]
    return [bytes([at]) + line for at, line in said]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for number, seed in enumerate(seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
