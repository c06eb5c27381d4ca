"""Ids of new messages: random UUIDs (version 4, RFC 9562), many from one reading of the system's source."""

import os
from collections.abc import Callable, Iterator

#: Ids of one reading; each reading is a system call.
_AT_ONCE = 64
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def random_ids() -> Callable[[], str]:
    """Return what returns another id each time, for one request: not to be shared by processes that fork."""
    return _ids().__next__


def _ids() -> Iterator[str]:
    while True:
        text = os.urandom(16 * _AT_ONCE).hex()
        for at in range(0, len(text), 32):
            one = text[at : at + 32]
            yield f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{_VARIANTS[one[16]]}{one[17:20]}-{one[20:]}"
