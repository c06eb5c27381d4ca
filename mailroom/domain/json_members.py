"""JSON objects of strangers."""

from typing import Any


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: one is named twice; another reader, such as the one who signed it, might take the other.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is named twice")
    return members
