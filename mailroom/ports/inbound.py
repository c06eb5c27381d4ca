"""Everything that the way of an inbound e-mail needs, opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailroom.domain.inbound.envelope import Forms
from mailroom.domain.references import ObjectScope
from mailroom.ports.archive import Archive
from mailroom.ports.directory import Directory
from mailroom.ports.inbox import Inbox
from mailroom.ports.keys import Keys
from mailroom.ports.ledger import Ledger
from mailroom.ports.mail_store import MailStore
from mailroom.ports.manifests import Manifests
from mailroom.ports.parser import Parser
from mailroom.ports.processings import Processings
from mailroom.ports.queue import Queue
from mailroom.ports.replies import Replies
from mailroom.ports.scanner import Scanner
from mailroom.ports.tenants import Tenants
from mailroom.ports.webhooks import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Everything that the way of an inbound e-mail needs, opened.

    `queue` is the inbound queue, for what is announced anew; `bucket` and `account_id` are those that SES receives for, and
    `prefixes` those under which mail may lie in it.
    None of `rules` accepts any receipt rule of the account. `forms` are the objects that may come beside those of SES's own
    form, and what S3 encrypted under another key than `kms_key_arn` is as good as plain. Without a `scanner` SES's own
    verdict has to do. The processor `digest` needs `answers`, `webhook` needs `webhooks` and `tenants`, and both note what
    they did in `processings`. `pages_url` is the base of links in reports. `checks` ask whether these ports would serve now, by
    their own clients: `database`, `mails`, `keys`, `archive`.
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
    kms_key_arn: str = ""
    pages_url: str = ""
    checks: Mapping[str, Callable[[], None]] = field(default_factory=dict)

    @property
    def scope(self) -> ObjectScope:
        """Where received mail may lie."""
        return ObjectScope(self.bucket, self.prefixes)
