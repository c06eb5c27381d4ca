"""The ports that receiving an e-mail needs, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailroom.domain.inbound.envelope_encryption import Forms
from mailroom.domain.references import ObjectScope
from mailroom.ports.archive import Archive
from mailroom.ports.directory import Directory
from mailroom.ports.events import Events
from mailroom.ports.inbox import Inbox
from mailroom.ports.keys import Keys
from mailroom.ports.ledger import Ledger
from mailroom.ports.mail_store import MailStore
from mailroom.ports.manifests import Manifests
from mailroom.ports.parser import Parser
from mailroom.ports.processings import Processings
from mailroom.ports.queue import Queue
from mailroom.ports.replies import Replies
from mailroom.ports.return_paths import ReturnPaths
from mailroom.ports.scanner import Scanner
from mailroom.ports.sender_limit import SenderLimit
from mailroom.ports.tenants import Tenants
from mailroom.ports.webhooks import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """The ports that receiving an e-mail needs, opened, with their settings.

    `queue` is the inbound queue, for objects that are announced again. SES writes to `bucket` for `account_id`, and mail is
    accepted only under `prefixes` there. `rules` are the accepted receipt rules; None accepts every rule of the account.
    `forms` are the object formats accepted besides SES's own; an object that S3 encrypted under another key than
    `kms_key_arn` counts as plain. Without a `scanner`, SES's own virus verdict is used. The processor `digest` needs
    `answers`, `webhook` needs `webhooks` and `tenants`, and both record what they did in `processings`. `pages_url` is the
    base of links in reports. Without a `sender_limit` no mail is held as one of too many. Mail for `bounce_domain` is looked up in `return_paths`, and what it reports recorded in `events`.
    `checks` (`database`, `mails`, `keys`, `archive`) raise if a port cannot be used now.
    """

    mails: MailStore
    keys: Keys
    archive: Archive
    manifests: Manifests
    ledger: Ledger
    directory: Directory
    inbox: Inbox
    parser: Parser
    queue: Queue
    bucket: str
    prefixes: tuple[str, ...]
    account_id: str
    rules: frozenset[str] | None = None
    forms: Forms = field(default_factory=Forms)
    scanner: Scanner | None = None
    answers: Replies | None = None
    webhooks: Webhooks | None = None
    tenants: Tenants | None = None
    processings: Processings | None = None
    sender_limit: SenderLimit | None = None
    return_paths: ReturnPaths | None = None
    events: Events | None = None
    bounce_domain: str = ""
    kms_key_arn: str = ""
    pages_url: str = ""
    checks: Mapping[str, Callable[[], None]] = field(default_factory=dict)

    @property
    def scope(self) -> ObjectScope:
        """The bucket and prefixes under which received mail is accepted."""
        return ObjectScope(self.bucket, self.prefixes)
