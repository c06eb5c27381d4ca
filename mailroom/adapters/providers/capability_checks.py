"""Checks whether a provider supports what a mail needs, before anything of it is sent."""

from mailroom.domain.errors import Refused
from mailroom.domain.outbound.content_rules import check, needs_utf8
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import Capabilities


def require(mail: Outgoing, capabilities: Capabilities, *, provider: str) -> None:
    """Return if the mail is valid and the provider supports everything that is in it.

    Raises:
        Refused: `feature` names what the provider does not support, or `where` what is wrong with the mail.
    """
    check(mail)
    require_size(sum(4 * len(file.content) // 3 for file in mail.attachments), capabilities, provider=provider)
    for feature, needed, has in (
        ("attachments", bool(mail.attachments), capabilities.attachments),
        ("inline", any(file.content_id for file in mail.attachments), capabilities.inline),
        ("headers", bool(mail.headers), capabilities.headers),
        ("unsubscribe", mail.unsubscribe is not None, capabilities.unsubscribe),
        ("utf8_addresses", needs_utf8(mail), capabilities.utf8_addresses),
        ("tracks", bool(mail.tracking), capabilities.tracks),
    ):
        if needed and not has:
            raise Refused("the provider does not support this", provider=provider, feature=feature)


def require_size(size: int, capabilities: Capabilities, *, provider: str) -> None:
    """Return if a mail of `size` bytes on the wire is not too large for the provider.

    Raises:
        Refused: it is.
    """
    if size > capabilities.max_bytes:
        raise Refused("the mail is too large", provider=provider, size=size, limit=capabilities.max_bytes)
