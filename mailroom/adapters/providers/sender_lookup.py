"""The provider that sends here, and its identities where it has a list of them: SES alone."""

import logging
from dataclasses import replace

from mailroom.adapters.prefect.provider_blocks import ProviderBlock, ProviderBlocks
from mailroom.adapters.providers.ses_identities import SesIdentities, ses_identities
from mailroom.domain.errors import MailroomError
from mailroom.ports.sender_identities import SenderIdentities, ServedIdentities

log = logging.getLogger(__name__)


class SenderLookup:
    """Reads which provider sends, and asks it. `account_id` and `region` are SES's where its block names none."""

    def __init__(self, blocks: ProviderBlocks, *, account_id: str, region: str) -> None:
        self._blocks, self._account_id, self._region = blocks, account_id, region

    def block(self, *, with_secrets: bool = False) -> ProviderBlock | None:
        """Return the block of the first provider; None if there is none.

        Raises:
            TransientError, PermanentError: Prefect does not answer, or refuses.
        """
        return self._blocks.first(with_secrets=with_secrets)

    def identities(self) -> SenderIdentities | None:
        """Return the identities of the account that sends; None where the provider has no such list.

        Raises:
            TransientError, PermanentError: Prefect does not answer, or refuses.
        """
        block = self.block()
        return self.of_ses(block) if block is not None and block.provider == "ses" else None

    def of_ses(self, block: ProviderBlock | None = None) -> SesIdentities:
        """Return SES's identities, by its block or else by the settings."""
        fields = block.fields if block is not None else {}
        credentials = fields.get("credentials")
        region = credentials.get("region_name") if isinstance(credentials, dict) else None
        return ses_identities(str(fields.get("account_id") or self._account_id), str(region or self._region))

    def served(self) -> ServedIdentities | None:
        """Return the verified identities of the first provider and of the second, if there is one.

        None where one of them has no list, or it cannot be read now: it may send for any sender.
        """
        try:
            first, second = self.block(), self._blocks.second()
        except MailroomError as error:
            log.warning("it is not known which provider sends, so no sender is checked: %s", error)
            return None
        found = [self._served_by(block) for block in ([first, second] if second is not None else [first])]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        return replace(
            known[0],
            addresses=frozenset().union(*(one.addresses for one in known)),
            domains=frozenset().union(*(one.domains for one in known)),
        )

    def _served_by(self, block: ProviderBlock | None) -> ServedIdentities | None:
        return self.of_ses(block).served() if block is not None and block.provider == "ses" else None
