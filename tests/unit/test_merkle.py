"""Merkle trees of journals: the product's, and the verifier's own, against published values and a brute-force oracle."""

import hashlib
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.audit.journals import Heads, is_consistent, root_of_inclusion
from mailroom.domain.archive.merkle import Tree, consistency_proof, inclusion_proof

#: The leaves that implementations of certificate transparency are tested with, and the heads of the trees of 0 to 8 of them.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
_96 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_5F = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_6B = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_BC = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_CA = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
_0E = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
_B0 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
#: By index (from 0) and size; by the two sizes.
INCLUSION = {
    (0, 1): [],
    (0, 8): [_96, _5F, _6B],
    (5, 8): [_BC, _CA, ROOTS[4]],
    (2, 3): [ROOTS[2]],
    (1, 5): [ROOTS[1], _5F, _BC],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [_96, _5F, _6B],
    (6, 8): [_0E, _CA, ROOTS[4]],
    (2, 5): [_5F, _BC],
    (6, 7): [_0E, _B0, ROOTS[4]],
}

LEAVES = [hashlib.sha256(b"\x00" + bytes.fromhex(one)).digest() for one in INPUTS]
sizes = st.integers(1, 70)


def leaves_of(size: int) -> list[bytes]:
    """Return so many different leaf hashes."""
    return [hashlib.sha256(b"\x00%d" % number).digest() for number in range(size)]


def oracle(leaves: Sequence[bytes]) -> bytes:
    """Return the tree head as RFC 9162, 2.1.1 defines it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + oracle(leaves[:k]) + oracle(leaves[k:])).digest()


def head_of_verifier(leaves: Sequence[bytes]) -> bytes:
    """Return the tree head as the verifier computes it."""
    heads = Heads()
    for leaf in leaves:
        heads.add(leaf)
    return heads.root


@pytest.mark.parametrize("size", range(9))
def test_the_published_tree_heads(size: int) -> None:
    """The values of certificate transparency's own tests."""
    assert Tree().grown(LEAVES[:size]).root.hex() == ROOTS[size]
    assert head_of_verifier(LEAVES[:size]).hex() == ROOTS[size]


def test_the_published_proofs() -> None:
    """The paths of certificate transparency's own tests, made by the product and accepted by the verifier."""
    for (index, size), path in INCLUSION.items():
        assert [one.hex() for one in inclusion_proof(LEAVES[:size], index)] == path
        found = root_of_inclusion(LEAVES[index], index=index, size=size, path=[bytes.fromhex(one) for one in path])
        assert found is not None
        assert found.hex() == ROOTS[size]
    for (first, second), path in CONSISTENCY.items():
        assert [one.hex() for one in consistency_proof(LEAVES[:second], first)] == path
        roots = bytes.fromhex(ROOTS[first]), bytes.fromhex(ROOTS[second])
        assert is_consistent(*roots, sizes=(first, second), path=[bytes.fromhex(one) for one in path])


@given(size=st.integers(0, 300), cut=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_a_tree_that_grows_is_the_tree_of_all_leaves(size: int, cut: int) -> None:
    """A seal stores the peaks, and the next one reads the new entries only."""
    leaves = leaves_of(size)
    before = Tree().grown(leaves[:cut])
    after = Tree.read(before.size, before.write()).grown(leaves[cut:])

    assert after.root == oracle(leaves) == head_of_verifier(leaves)
    assert len(after.peaks) == size.bit_count()


@pytest.mark.parametrize(("size", "stored"), [(3, bytes(32)), (1, bytes(31)), (0, bytes(32)), (-1, b"")])
def test_peaks_of_another_size_are_refused(size: int, stored: bytes) -> None:
    """A damaged row must not lead to a seal."""
    with pytest.raises(ValueError, match="peaks"):
        Tree.read(size, stored)


@given(size=sizes, data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_inclusion_proof_leads_to_the_root_from_its_own_place_only(size: int, data: st.DataObject) -> None:
    """Wrong index, wrong size, another leaf, a shorter, longer or altered path: none leads to the root."""
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    path, root = inclusion_proof(leaves, index), oracle(leaves)

    def found(leaf: bytes = leaves[index], at: int = index, of: int = size, by: Sequence[bytes] = path) -> bytes | None:
        return root_of_inclusion(leaf, index=at, size=of, path=by)

    assert found() == root
    assert all(found(at=other) != root for other in range(-1, size + 2) if other != index)
    assert all(found(leaf=other) != root for other in leaves if other != leaves[index])
    assert found(by=[*path, bytes(32)]) != root
    for at in range(len(path)):
        assert found(by=[*path[:at], *path[at + 1 :]]) != root
        assert found(by=[*path[:at], bytes(32), *path[at + 1 :]]) != root
    # A path fits several sizes, whose roots differ; a seal signs the size.
    assert found(of=size * 2 + 1) != root
    assert found(of=0) is None


@given(size=sizes, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_consistency_proof_holds_for_its_own_two_trees_only(size: int, data: st.DataObject) -> None:
    """A log that was cut, or whose beginning was altered, has no proof."""
    leaves = leaves_of(size)
    before = data.draw(st.integers(1, size))
    path, first, second = consistency_proof(leaves, before), oracle(leaves[:before]), oracle(leaves)
    altered = oracle([bytes(32), *leaves[1:before]])

    assert is_consistent(first, second, sizes=(before, size), path=path)
    assert not is_consistent(altered, second, sizes=(before, size), path=path)
    assert not is_consistent(first, bytes(32), sizes=(before, size), path=path)
    assert not is_consistent(first, second, sizes=(before, size), path=[*path, bytes(32)])
    assert not is_consistent(first, second, sizes=(0, size), path=path)
    assert not is_consistent(first, second, sizes=(size + 1, size), path=path)
    for at in range(len(path)):
        assert not is_consistent(first, second, sizes=(before, size), path=[*path[:at], *path[at + 1 :]])


@pytest.mark.parametrize(("size", "wanted"), [(0, 0), (3, 3), (3, -1), (3, 4)])
def test_there_is_no_proof_of_what_is_not_there(size: int, wanted: int) -> None:
    """An index or a size beyond the tree is refused."""
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(leaves_of(size), wanted)
    if wanted != size:
        with pytest.raises(ValueError, match="no such tree"):
            consistency_proof(leaves_of(size), wanted)


@pytest.mark.long
def test_a_hundred_thousand_entries_are_computed_in_a_second() -> None:
    """The pace that a seal was promised to have; measured as processor time."""
    leaves = leaves_of(100_000)
    began = time.process_time()

    Tree().grown(leaves)

    assert time.process_time() - began < 1
