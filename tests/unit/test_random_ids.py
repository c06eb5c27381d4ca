"""Ids of new messages."""

from uuid import RFC_4122, UUID

from mailroom.outbound.random_ids import random_ids


def test_each_id_is_another_random_uuid_of_version_4() -> None:
    """As `uuid4` makes them: stored as `uuid`, and nobody can guess one from another."""
    new_id = random_ids()

    ids = [new_id() for _ in range(1_000)]

    assert len(set(ids)) == 1_000
    assert all(str(UUID(one)) == one for one in ids)
    assert {(UUID(one).version, UUID(one).variant) for one in ids} == {(4, RFC_4122)}
    # Every other bit is both 0 and 1 somewhere.
    others = (0xF << 76) | (0x3 << 62)
    seen = [0, 0]
    for one in ids:
        seen[1] |= UUID(one).int
        seen[0] |= ~UUID(one).int
    assert all(bits & ~others & (1 << 128) - 1 == ~others & (1 << 128) - 1 for bits in seen)
