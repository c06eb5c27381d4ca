"""JSON objects from outside, without repeated members."""

from typing import Any


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a name is repeated; another parser, such as the signer's, might take the other value.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is named twice")
    return members
