"""Merkle trees over a journal (RFC 9162, section 2.1): SHA-256, leaves of 0x00, nodes of 0x01, no padding.

A tree is kept as its peaks: the roots of its perfect subtrees, largest first. They are enough to go on without the leaves.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HASH_BYTES = 32


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `size` leaves; `peaks` has one hash for each bit of `size` that is 1."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, size: int, stored: bytes) -> "Tree":
        """Return the tree that `write` stored.

        Raises:
            ValueError: these are not the peaks of a tree of this size.
        """
        peaks = tuple(stored[at : at + _HASH_BYTES] for at in range(0, len(stored), _HASH_BYTES))
        if size < 0 or len(stored) != _HASH_BYTES * size.bit_count():
            raise ValueError("not the peaks of a tree of this size")
        return cls(size, peaks)

    def write(self) -> bytes:
        """Return the peaks, one after the other."""
        return b"".join(self.peaks)

    def grown(self, leaves: Iterable[bytes]) -> "Tree":
        """Return the tree with these leaf hashes added at its end."""
        size, peaks, sha256 = self.size, list(self.peaks), hashlib.sha256
        for leaf in leaves:
            node, below = leaf, size
            while below & 1:
                node = sha256(b"\x01" + peaks.pop() + node).digest()
                below >>= 1
            peaks.append(node)
            size += 1
        return Tree(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The tree head."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        *others, root = self.peaks
        for peak in reversed(others):
            root = node_hash(peak, root)
        return root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of the leaf at `index`, counted from 0, in the tree of these leaf hashes.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError("no such leaf")
    path: list[bytes] = []
    first, end = 0, len(leaves)
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append(_root(leaves, middle, end))
            end = middle
        else:
            path.append(_root(leaves, first, middle))
            first = middle
    return path[::-1]


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """Return the proof that the tree of the first `size` leaves is the beginning of the tree of all of them.

    Raises:
        ValueError: the tree has fewer leaves, or `size` is 0.
    """
    if not 0 < size <= len(leaves):
        raise ValueError("no such tree")
    path: list[bytes] = []
    first, end, is_whole = 0, len(leaves), True
    while size != end - first:
        middle = first + _split(end - first)
        if size <= middle - first:
            path.append(_root(leaves, middle, end))
            end = middle
        else:
            path.append(_root(leaves, first, middle))
            size, first, is_whole = size - (middle - first), middle, False
    if not is_whole:
        path.append(_root(leaves, first, end))
    return path[::-1]


def _split(size: int) -> int:
    """Return the largest power of two that is smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _root(leaves: Sequence[bytes], first: int, end: int) -> bytes:
    return Tree().grown(leaves[first:end]).root
