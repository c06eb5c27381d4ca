"""Who may do what, and a valid request for each route: written by hand, beside the code and without a look at it.

The sweep of tests/contract/test_isolation.py compares the service with this table. A route that is missing here fails it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

# What the routes are about. A role may do some of it.
SENDING, INBOX, DOCUMENTS, STATES = "sending", "inbox", "documents", "states"
ADMINISTERING, OPERATING, OPEN = "administering", "operating", "open"
#: Pages and routes of the installation, which do not exist for those who administer a tenant.
INSTALLATION = "installation"
#: What a person settles for themselves alone; for keys it does not exist.
PERSONAL = "personal"
EVERYTHING_OF_A_TENANT = frozenset({SENDING, INBOX, DOCUMENTS, STATES, ADMINISTERING})


@dataclass(frozen=True, slots=True)
class Role:
    """What a holder may do, and in which inboxes; `inboxes` None is all of its tenant's. Nobody is a role without anything."""

    may: frozenset[str]
    inboxes: frozenset[str] | None = None
    of_all_tenants: bool = False


ANNA, BOTH, NONE = frozenset({"anna"}), frozenset({"anna", "zoe"}), frozenset[str]()
NOBODY = Role(frozenset())
SENDER = Role(frozenset({SENDING}))
MEMBER = Role(frozenset({INBOX, DOCUMENTS}), ANNA)
ARCHIVIST = Role(frozenset({DOCUMENTS, STATES}))
ADMINISTRATOR = Role(EVERYTHING_OF_A_TENANT)
OPERATOR = Role(EVERYTHING_OF_A_TENANT | {OPERATING, INSTALLATION}, of_all_tenants=True)


def signed_in(role: Role) -> Role:
    """Return the role of a person who may do what a key with these scopes may."""
    return replace(role, may=role.may | {PERSONAL})


#: By scopes of a key of the tenant.
KEYS: Mapping[tuple[str, ...], Role] = {
    ("send",): SENDER,
    ("inbox:anna@quokka.test",): MEMBER,
    ("inbox:@quokka.test",): Role(MEMBER.may, BOTH),
    ("inbox:an*@quokka.test",): Role(MEMBER.may, ANNA),
    # The same address at the other tenant's domain, and every address that there is.
    ("inbox:anna@numbat.test",): Role(MEMBER.may, NONE),
    ("inbox:@numbat.test", "inbox:zoe@quokka.test"): Role(MEMBER.may, frozenset({"zoe"})),
    ("archive",): ARCHIVIST,
    ("archive", "send"): Role(ARCHIVIST.may | SENDER.may),
    ("archive", "inbox:anna@quokka.test"): Role(ARCHIVIST.may | MEMBER.may, ANNA),
    ("administer",): ADMINISTRATOR,
}

#: By role of a person of the tenant, with the inboxes that were given.
PEOPLE: Mapping[str, tuple[tuple[str, ...], Role]] = {
    "member": (("anna@quokka.test",), signed_in(MEMBER)),
    "member of two inboxes": (("@quokka.test",), signed_in(Role(MEMBER.may, BOTH))),
    "member of a foreign inbox": (("anna@numbat.test",), signed_in(Role(MEMBER.may, NONE))),
    "archivist": ((), signed_in(ARCHIVIST)),
    "administrator": ((), signed_in(ADMINISTRATOR)),
}

#: What a route is about: the first pattern that matches method and path.
ABOUT = (
    (r"GET /(healthz|readyz|metrics|docs|openapi\.json|static/.*)", OPEN),
    (r"\w+ /(u|c|o|hooks)/.*", OPEN),
    (r"\w+ /sign-(in|out).*", OPEN),
    (r"GET /(inboxes|inboxes/.*|v1/inboxes/.*)?", INBOX),
    (r"GET (/v1)?/items/.*", DOCUMENTS),
    # Marking is of those who read the inbox: an archivist reads what was archived.
    (r"(POST|PATCH) (/v1)?/items/.*", INBOX),
    (r"GET (/v1/inbound|/v1/inbound/reasons|/quarantine)", STATES),
    (r"\w+ (/v1/inbound|/quarantine)/replay.*", ADMINISTERING),
    (r"POST /v1/inbound/.*", ADMINISTERING),
    (r"\w+ (/quarantine/address|(/v1)?/status)", INSTALLATION),
    (r"GET /v1/addresses", ADMINISTERING),
    (r"\w+ /v1/addresses", OPERATING),
    (r"GET /parked", OPERATING),
    (r"\w+ /settings", PERSONAL),
    (r"\w+ (/people.*|(/v1)?/trail)", ADMINISTERING),
    (r"\w+ (/v1)?/keys.*", ADMINISTERING),
    (r"\w+ (/v1)?/(batches|messages|recipients).*", SENDING),
    (r"(GET|POST) (/v1)?/suppressions", SENDING),
    (r"DELETE /v1/suppressions", ADMINISTERING),
    (r"GET (/v1)?/(senders|breakers|streams|quotas|webhooks.*)", SENDING),
    (r"\w+ (/v1)?/webhooks.*", ADMINISTERING),
    (r"PUT /v1/streams", ADMINISTERING),
    (r"\w+ /v1/(senders|quotas|breakers/.*)", OPERATING),
)


def about(route: str) -> str:
    """Return what a route is about.

    Raises:
        LookupError: the table does not say; a new route needs a line in it.
    """
    for pattern, what in ABOUT:
        if re.fullmatch(pattern, route):
            return what
    raise LookupError(f"{route} is not in tests/support/role_table.py: who may use it?")


@dataclass(frozen=True, slots=True)
class Request:
    """A valid request: its status for who may make it about something of their own, and what it needs besides its path.

    `fresh` are ids that are made for each request, which would else change what others look at: the name of the id, and what
    makes it (a method of `planted_tenants.Planted`). `refused` is the answer to a tenant's holder that may not make it.
    """

    status: int = 200
    query: str = ""
    json: Any = None
    form: Mapping[str, str] | None = None
    fresh: Mapping[str, str] = field(default_factory=dict)
    refused: int = 403


_MAIL = {"from": "desk@quokka.test", "messages": [{"to": "ada@users.test", "subject": "s", "text": "t"}]}
_BATCH, _REFUSED, _MESSAGE = {"batch_id": "batch"}, {"batch_id": "refused"}, {"message_id": "message"}
_KEY, _WEBHOOK, _PERSON = {"key_id": "key"}, {"webhook_id": "webhook"}, {"person_id": "person"}
_WAITING = {"waiting": "quarantined"}
_OURS = "tenant=quokka"
_SINCE = {"since": "2026-03-14T08:30:00Z"}

#: Every route that is not open.
REQUESTS: Mapping[str, Request] = {
    "GET /": Request(),
    "GET /inboxes/{address:path}": Request(),
    "GET /v1/inboxes/{address:path}/items": Request(),
    "GET /items/{item_id}": Request(),
    "GET /inboxes": Request(),
    "GET /items/{item_id}/html": Request(),
    "GET /items/{item_id}/print": Request(),
    "GET /items/{item_id}/attachments/{number}/preview": Request(),
    "GET /items/{item_id}/attachments/{number}/members/{member}/preview": Request(),
    "POST /items/{item_id}/done": Request(303),
    "POST /items/{item_id}/undo": Request(303),
    "PATCH /v1/items/{item_id}": Request(json={"done": True}),
    "GET /items/{item_id}/source": Request(),
    "GET /items/{item_id}/attachments/{number}": Request(),
    "GET /items/{item_id}/attachments/{number}/members/{member}": Request(),
    "GET /items/{item_id}/raw": Request(),
    "GET /items/{item_id}/files.zip": Request(),
    "GET /v1/items/{item_id}": Request(),
    "GET /v1/items/{item_id}/attachments/{number}": Request(),
    "GET /v1/items/{item_id}/attachments/{number}/members/{member}": Request(),
    "GET /v1/items/{item_id}/raw": Request(),
    "GET /v1/items/{item_id}/files.zip": Request(),
    "GET /v1/inbound": Request(),
    "GET /quarantine": Request(),
    "POST /v1/inbound/{email_id}/replay": Request(202),
    "GET /v1/inbound/reasons": Request(),
    "POST /v1/inbound/replay": Request(202, json={"ids": ["{waiting}"]}, fresh=_WAITING),
    "GET /v1/inbound/replays": Request(),
    "GET /v1/inbound/replays/{replay_id}": Request(),
    "GET /quarantine/replay": Request(query="reason=virus"),
    "POST /quarantine/replay": Request(303, form={"action": "replay", "id": "{waiting}"}, fresh=_WAITING),
    "GET /quarantine/replays/{replay_id}": Request(),
    "GET /quarantine/address": Request(query="recipient=lost@nowhere.test"),
    "POST /quarantine/address": Request(
        303, form={"recipient": "{new_address}", "tenant": "quokka"}, fresh={"new_address": "new_address"}
    ),
    "GET /status": Request(),
    "GET /v1/status": Request(),
    "GET /v1/addresses": Request(),
    "POST /v1/addresses": Request(201, _OURS, {"addresses": [{"address": "further@quokka.test"}]}),
    "PATCH /v1/addresses": Request(200, f"{_OURS}&address={{receiving}}", {"user": "quokka"}),
    "DELETE /v1/addresses": Request(200, f"{_OURS}&address={{receiving}}", fresh={"receiving": "receiving"}),
    "GET /batches": Request(),
    "GET /batches/{batch_id}": Request(),
    "POST /batches/{batch_id}/resend": Request(303, "status=rejected", fresh=_REFUSED),
    "GET /messages/{message_id}": Request(),
    "GET /messages/{message_id}/html": Request(),
    "GET /messages/{message_id}/content.eml": Request(),
    "POST /messages/{message_id}/resend": Request(303, fresh=_MESSAGE),
    "GET /recipients": Request(),
    "GET /parked": Request(refused=404),
    "GET /v1/batches": Request(),
    "POST /v1/batches": Request(202, _OURS, _MAIL),
    "GET /v1/batches/{batch_id}": Request(),
    "PATCH /v1/batches/{batch_id}": Request(200, json={"send_at": "2026-03-15T09:30:00Z"}, fresh=_BATCH),
    "POST /v1/batches/{batch_id}/cancel": Request(fresh=_BATCH),
    "POST /v1/batches/{batch_id}/resume": Request(fresh=_BATCH),
    "POST /v1/batches/{batch_id}/resend": Request(202, fresh=_REFUSED),
    "GET /v1/messages": Request(),
    "GET /v1/messages/{message_id}": Request(),
    "GET /v1/messages/{message_id}/activities": Request(),
    "GET /v1/messages/{message_id}/content": Request(),
    "GET /v1/messages/{message_id}/content.eml": Request(),
    "POST /v1/messages/{message_id}/resend": Request(202, fresh=_MESSAGE),
    "GET /suppressions": Request(),
    "GET /v1/suppressions": Request(),
    "POST /v1/suppressions": Request(201, _OURS, {"addresses": ["left@users.test"]}),
    "DELETE /v1/suppressions": Request(204, f"{_OURS}&address={{suppressed}}", fresh={"suppressed": "suppressed"}),
    "GET /v1/quotas": Request(),
    "PUT /v1/quotas": Request(200, _OURS, {"day": 100_000}),
    "GET /senders": Request(),
    "GET /v1/senders": Request(),
    "POST /v1/senders": Request(201, _OURS, {"pattern": "further@quokka.test"}),
    "DELETE /v1/senders": Request(204, f"{_OURS}&pattern={{pattern}}", fresh={"pattern": "pattern"}),
    "GET /v1/streams": Request(),
    "PUT /v1/streams": Request(200, _OURS, {"name": "quokka name"}),
    "GET /breakers": Request(),
    "GET /v1/breakers": Request(query="closed=true"),
    "POST /v1/breakers/{breaker_id}/close": Request(fresh={"breaker_id": "breaker"}),
    "GET /webhooks": Request(),
    "GET /webhooks/{webhook_id}": Request(),
    "POST /webhooks/{webhook_id}/replay": Request(303, "hours=1"),
    "POST /webhooks/{webhook_id}/enable": Request(303),
    "GET /v1/webhooks": Request(),
    "GET /v1/webhooks/{webhook_id}": Request(),
    "GET /v1/webhooks/{webhook_id}/attempts": Request(),
    "POST /v1/webhooks": Request(201, _OURS, {"url": "https://hooks.quokka.test/one"}),
    "DELETE /v1/webhooks/{webhook_id}": Request(204, fresh=_WEBHOOK),
    "POST /v1/webhooks/{webhook_id}/enable": Request(),
    "POST /v1/webhooks/{webhook_id}/replay": Request(json=_SINCE),
    "GET /keys": Request(),
    "POST /keys": Request(201, form={"name": "quokka's", "scope": "send", "tenant": "quokka"}),
    "POST /keys/{key_id}/revoke": Request(303, fresh=_KEY),
    "POST /keys/{key_id}/rotate": Request(201, fresh=_KEY),
    "GET /settings": Request(refused=404),
    "POST /settings": Request(303, form={"language": "de", "zone": "Europe/Berlin"}, refused=404),
    "GET /people": Request(),
    "POST /people": Request(
        303,
        form={"address": "{new_address}", "role": "member", "tenant": "quokka"},
        fresh={"new_address": "new_address"},
    ),
    "POST /people/{person_id}/inboxes": Request(303, form={"inboxes": "zoe@quokka.test"}, fresh=_PERSON),
    "POST /people/{person_id}/role": Request(303, form={"role": "archivist"}, fresh=_PERSON),
    "POST /people/{person_id}/remove": Request(303, fresh=_PERSON),
    "GET /trail": Request(),
    "GET /v1/trail": Request(),
    "GET /v1/keys": Request(),
    "POST /v1/keys": Request(201, _OURS, {"name": "quokka's", "scopes": ["send"]}),
    "GET /v1/keys/{key_id}": Request(),
    "POST /v1/keys/{key_id}/revoke": Request(fresh=_KEY),
    "POST /v1/keys/{key_id}/rotate": Request(201, fresh=_KEY),
}
