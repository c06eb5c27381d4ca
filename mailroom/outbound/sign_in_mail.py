"""The mail with a sign-in link, sent by Mailroom itself through its own outbox.

    page ── asks ──> link without a secret ──> batch of `OWN_TENANT`, a stand-in where the secret will be ──> worker
                                                                                                        │
    recipient <── provider <── the stand-in replaced, in memory <── secret issued, its SHA-256 stored ──┘

So the secret is in no stored content, no queue, no run and no log, and no page or route can show it: they make a mail again from
what is stored. No key and no person is of `OWN_TENANT`: operators see these batches, with the stand-in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailroom.domain.errors import MailroomError, PermanentError, Unacceptable
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound.message import Lane, Outgoing
from mailroom.domain.tenants import OWN_TENANT
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.preparing import prepare
from mailroom.outbound.request import Letter, Recipient, Request, RequestContent
from mailroom.outbound.sign_in_texts import subject_and_text
from mailroom.ports.archive import Archive
from mailroom.ports.dispatch import Claimed
from mailroom.ports.outbox import Outbox
from mailroom.ports.people import LINK_LASTS, Person, SignInLinks

#: Where the secret will be; no secret has this form.
STAND_IN = "its-recipient-alone-gets-the-link"
#: The start of the message's reference; the id of the link follows.
_REFERENCE = "sign-in:"


def send_link(
    link_id: str,
    person: Person,
    *,
    pages_at: str,
    sender: str,
    now: datetime,
    new_id: Callable[[], str],
    outbox: Outbox,
    archive: Archive,
) -> None:
    """Store the mail with this link in the outbox; nothing else is stored for it.

    Raises:
        Unacceptable: the sender is no valid address.
    """
    minutes = int(LINK_LASTS.total_seconds() // 60)
    subject, text = subject_and_text(person, url=f"{pages_at}/sign-in/{STAND_IN}", minutes=minutes)
    recipient = Recipient(to=person.address, where=(0,), at=(0, "to"), reference=f"{_REFERENCE}{link_id}")
    letter = Letter(words=RequestContent(subject=subject, text=text), where=(0,), recipients=(recipient,))
    # It is not sent later than that.
    request = Request(from_=sender, letters=(letter,), lane=Lane.TRANSACTIONAL, expires_at=now + LINK_LASTS)
    # Without the table of senders: the address is the installation's own, by its settings.
    attachments = AttachmentResolver(OWN_TENANT, archive=archive, uploads=None)
    prepared = prepare(request, tenant=OWN_TENANT, now=now, new_id=new_id, attachments=attachments)
    if prepared.faults:
        raise Unacceptable("the mail with the sign-in link is invalid", faults=tuple(prepared.faults))
    outbox.accept(prepared.batch, prepared.contents, prepared.drafts, now=now)


@dataclass(frozen=True, slots=True)
class WithSignInLinks:
    """Puts the secret of its link into each mail that `send_link` stored, immediately before it is sent."""

    links: SignInLinks

    def __call__(
        self, mails: Sequence[Outgoing | MailroomError], claims: Sequence[Claimed]
    ) -> list[Outgoing | MailroomError]:
        """Return the mails of these claims; those of tenants as they are, whatever they say.

        Raises:
            TransientError: secrets cannot be stored now; nothing was sent.
        """
        return [self._linked(mail, claim) for mail, claim in zip(mails, claims, strict=True)]

    def _linked(self, mail: Outgoing | MailroomError, claim: Claimed) -> Outgoing | MailroomError:
        reference = claim.draft.reference
        if claim.batch.tenant != OWN_TENANT or not reference.startswith(_REFERENCE) or isinstance(mail, MailroomError):
            return mail
        secret = self.links.issue(reference.removeprefix(_REFERENCE), normalise(mail.to.address))
        if secret is None:
            return PermanentError("this sign-in link was used, or asked for too long ago")
        return replace(mail, text=(mail.text or "").replace(STAND_IN, secret))
