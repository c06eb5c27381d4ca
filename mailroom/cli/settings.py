"""Every setting: its environment variable, type, default, and what follows where its value is wrong.

The page docs/settings.md is what this prints: `mailroom settings > docs/settings.md`.
"""

import json
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from mailroom.cli._app import say
from mailroom.domain.outbound.providers import REGISTRY
from mailroom.settings import Settings

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

_AS_PREFIX = "As `MAILROOM_INBOUND_PREFIX`."
_CALLS_REFUSED = "A call that none of them verifies is answered {} and not kept; where this is empty, every call."
_NO_PROFILE = "Not in AWS's configuration files: worker and HTTP service do not start."

#: The effect of a value that is valid but wrong; Settings refuses invalid values at the start.
CONSEQUENCES = {
    "region": "Not in `MAILROOM_REGIONS_ALLOWED`: worker and HTTP service do not start.",
    "storage_region": "Not in `MAILROOM_REGIONS_ALLOWED`, or the bucket is in another: worker and HTTP service do not start.",
    "archive_audit_mb": "Too small: the run of `audit` says so, and copies are read less often than every 30 days. Large: it reads for hours.",
    "archive_region": "As `MAILROOM_STORAGE_REGION`.",
    "regions_allowed": "A word that is no region or host, or a resource outside: worker and HTTP service do not start, "
    "blocks do not open.",
    "account_id": "S3 denies each call, and the worker does not start. Where `MAILROOM_STORAGE_ACCOUNT` names the buckets' "
    "owner: received mail is quarantined as `not_bound`.",
    "storage_account": "S3 denies each call to these buckets: the worker does not start, or pauses.",
    "archive_account": "S3 denies each call to the archive: worker and HTTP service do not start, or the worker pauses.",
    "inbound_bucket": "Mail in any other bucket is quarantined as `foreign_object`. No such bucket: the worker does not start.",
    "inbound_prefix": "Mail under another prefix is quarantined as `foreign_object`. Correct the prefix, run "
    "`python -m deployments.ensure`, then `mailroom replay --reason foreign_object`.",
    "inbound_prefixes": _AS_PREFIX,
    "inbound_queue_url": "The worker receives no mail; it waits in the other queue.",
    "inbound_topic_arn": "`/hooks/inbound` answers 403. In a region that is not allowed: worker and HTTP service do not start.",
    "inbound_hook": "Off: `/hooks/inbound` answers 404.",
    "sender_hourly_limit": "Too low: mail of a busy scanner or shop is quarantined as `too_many` until `mailroom replay --reason "
    "too_many`. Too high, or 0: two programs that answer each other fill an inbox.",
    "time_zone": "Pages show other hours than the clock on the wall; nothing else depends on it.",
    "kms_key_arn": "Mail of another key is quarantined as `not_decryptable`. A key that may not be used: the worker pauses.",
    "archive_bucket": "No such bucket, or no permission: worker and HTTP service do not start. Without Object Lock: "
    "nothing is archived, and so nothing is filed.",
    "archive_lock_mode": "`GOVERNANCE`: who has `s3:BypassGovernanceRetention` can delete deposits. `COMPLIANCE` cannot be undone.",
    "archive_retention_days": "Other days than the rule `document` has: worker and HTTP service do not start.",
    "archive_copy_bucket": "No such bucket, or without Object Lock: worker and HTTP service do not start. Away: no receipt is "
    "given, and mail waits. Empty: the archive has one copy.",
    "archive_copy_region": "As `MAILROOM_STORAGE_REGION`.",
    "archive_copy_account": "S3 denies each call to second copies: worker and HTTP service do not start, or the worker pauses.",
    "archive_copy_profile": _NO_PROFILE,
    "archive_auditor_profile": _NO_PROFILE + " Without the permission to read: checks report it.",
    "archive_eliminator_profile": _NO_PROFILE,
    "sender": "Empty: a message without `from` is refused with 422. Not verified by the provider: "
    "such batches are refused with 422 (SES), or wait.",
    "bounce_domain": "Not received here (MX, receipt rule): bounces are lost, and messages stay `dispatched`. Without the relay in its "
    "SPF record: receivers may refuse mail. Over 32 letters: too long for some forwarders.",
    "configuration_set": "Empty: events come only if the SES identity has a default set; else messages stay `dispatched`. "
    "Unknown to SES: it refuses each mail.",
    "per_second": "Too high: the provider throttles and batches are deferred. Too low: batches take longer.",
    "sent_content_days": "Too short: support cannot see what a recipient got. Too long: everybody with the tenant's key can.",
    "recipient_retry_hours": "Too short: mail to a server that is down for a day fails. Too long: senders learn only after days "
    "that it did not arrive.",
    "files_bucket": "An attachment by `s3` is refused with 422 `s3 object not found`.",
    "mailbox_queue_url": "Batches are accepted and wait in the outbox; `mailroom_outbox_oldest_seconds` grows.",
    "mailbox_tenant": "Another tenant's name: that tenant sees these messages, and its quota counts them.",
    "tracking_queue_url": "Events stay in the other queue, and messages stay `dispatched`.",
    "scanner": "Another form: the block `inbound` does not open. No answer there: mails are `unscanned`, never clean.",
    "ses_hook_topics": _CALLS_REFUSED.format(403),
    "sns_old_signatures": "Off: posts of topics that still sign with version 1, the default of SNS, are answered 403: "
    "set `SignatureVersion` 2 on the topic. On: a signature over SHA-1 is enough.",
    **{row.hook_setting: _CALLS_REFUSED.format("401 or 403") for row in REGISTRY if row.hook_setting},
    "provider_hooks": _CALLS_REFUSED.format("401 or 403") + " A word of no such provider: the service does not start.",
    "unsubscribe_key": "Shorter: no mail with such a link is rendered. Changed: links in mails that were sent before answer 404.",
    "private_webhooks": "On in production: a tenant can make Mailroom post to hosts of your own network.",
    "webhook_ports": "Endpoints on other ports get nothing and say `port_not_allowed`; their events wait.",
    "public_url": "Links in mails lead nowhere. Neither this nor `MAILROOM_API_URL` is https: a batch with `unsubscribe` is refused.",
    "public_port": "In use, or the same as `--port`: the HTTP service does not start and says which.",
    "behind_tls_proxy": "Off: the service refuses to listen beyond loopback. On without a proxy: keys and mails can be read on the way.",
    "database_url": "Worker and HTTP service do not start, or pause until it answers; `mailroom migrate --check` says why.",
    "database_owner_url": "Empty: the application may change its own journals; `mailroom check` says so. Wrong: `mailroom migrate`, `backup` "
    "and `restore` fail.",
    "prefect_api_url": "The worker pauses (`Prefect is unavailable`). Off this machine without `PREFECT_API_AUTH_STRING`: worker "
    "and HTTP service do not start.",
    "prefect_url": "Links to runs lead nowhere.",
    "api_url": "Links to items lead nowhere, and `mailroom send` cannot connect.",
    "pages_url": "Another host: links to sign in lead nowhere, and no session begins. Empty, with plain http in `MAILROOM_API_URL`: "
    "people cannot sign in, keys can.",
    "sign_in_from": "Empty as `MAILROOM_SENDER`: no links are sent; `/sign-in` says so. Not verified by the provider: they wait.",
    "session_idle_hours": "Too long: a browser that was left open stays signed in.",
    "session_days": "As `MAILROOM_SESSION_IDLE_HOURS`, for a browser that somebody uses.",
    "openid_issuer": "Spelt in another way than the provider does: nobody signs in this way, and the log says so. A provider that others run: "
    "it can sign in as every person, operators too.",
    "openid_client_id": "The provider refuses it: nobody signs in this way.",
    "openid_client_secret": "As `MAILROOM_OPENID_CLIENT_ID`. Changed: who is at the provider at that moment begins again.",
    "openid_name": "People do not recognise the button.",
    "seal_key": "Unset: the flow `seal` fails, and nothing proves that entries of the journals were not altered. Changed: add the id of the "
    "earlier key to `MAILROOM_SEAL_KEYS_BEFORE`. Known to others: they can forge seals; only the witness's copies show it.",
    "seal_keys_before": "An id is missing: a verification says `seal_key` FAIL for every seal of that key; "
    "sealing, recovery and rebuild use nothing that it signed, and name it.",
    "time_stamping": "A file of roots that cannot be read, or another form: the flow `seal` fails and says so. No authority answers: seals wait for "
    "their tokens; the alarm `seals behind` says so after hours.",
    "witness_bucket": "No such bucket, or no permission: the flow `seal` fails after the seals were made. It needs s3:PutObject, s3:GetObjectVersion and "
    "s3:ListBucketVersions there, and nothing more.",
    "witness_account": "Another account's: S3 refuses each call, the flow `seal` fails.",
    "witness_region": "Calls fail or are redirected; seals wait for the witness.",
    "openid_domains": "Too narrow: others are answered that addresses of their domain do not sign in this way.",
}

#: Variables that are not part of Settings.
OTHERS = (
    ("MAILROOM_DATA", "path", "`.mailroom` in the checkout", "Folder of the embedded stack's data. Another folder: another stack."),
    ("MAILROOM_WORKER_LIMIT", "whole number", "8", "E-mails that a worker handles at once. No number: the worker does not start."),
    ("MAILROOM_BEAT_S", "number, in seconds", "15", "Time between two heartbeats of a worker; after three without one its leases expire. "
     "The same for all workers."),
    ("MAILROOM_LOG", "`json` or empty", "empty", "Log format: JSON lines, or text for people. Any other word is text."),
    ("MAILROOM_API_KEY", "secret", "unset", "API key for commands that call the HTTP service; set it together with "
     "`MAILROOM_API_URL`. A wrong key: 401."),
    ("MAILROOM_READY_FILE", "path", "unset", "File that the worker creates once it is ready, for supervisors."),
    ("MAILROOM_ISOLATION", "`on` or `off`", "on", "A mail that ended a worker process runs in a child process of its own. `off`: it runs beside all others."),
    ("MAILROOM_PORT_POSTGRES, _AWS, _PREFECT, _API, _DOOR", "port", "5433, 5566, 4200, 8025, 2525", "Ports of the embedded stack. "
     "One that is in use: `mailroom up` ends and names it."),
)  # fmt: skip

_INTRODUCTION = """\
# Settings

Printed by `mailroom settings`; a test compares this page with the code. Change `mailroom/settings.py`, then run
`mailroom settings > docs/settings.md`.

A value comes from the environment, else from the embedded stack that runs here, else it is the default. Worker and HTTP
service read their settings at the start: restart them after a change, and run `python -m deployments.ensure` for the blocks.
No setting is read from a file: there are no `_FILE` variables. [Where each value counts](operations.md#settings).

A setting without a default is required: where it is missing, or where a value does not have the type below, the process ends at the
start with `missing or unusable settings: MAILROOM_...`, which names all of them. A secret is never shown: not in logs, nor here.
AWS credentials and endpoints are boto3's own (`AWS_...`), Prefect's address and password are Prefect's (`PREFECT_API_URL`,
`PREFECT_API_AUTH_STRING`). [Where secrets rest](operations.md#secrets-at-rest).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting, as printed."""

    name: str
    type: str
    unit: str
    default: str | None
    about: str
    wrong: str


@app.command()
def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Print every setting: its variable, type, default, and what follows where its value is wrong."""
    say(json.dumps([asdict(row) for row in rows()], indent=1) if as_json else page().rstrip("\n"))


def rows() -> list[Row]:
    """Return the settings in the order of `Settings`."""
    return [_row(name, Settings.model_fields[name]) for name in CONSEQUENCES]


def page() -> str:
    """Return docs/settings.md."""
    table = [
        "| setting | type | default | what it is | where it is wrong |",
        "|---|---|---|---|---|",
        *(f"| `{row.name}` | {_kind(row)} | {_default(row)} | {row.about} | {row.wrong} |" for row in rows()),
    ]
    others = ["| variable | type | default | what it is |", "|---|---|---|---|"]
    others += [f"| {_names(names)} | {kind} | {default} | {about} |" for names, kind, default, about in OTHERS]
    parts = _INTRODUCTION, "\n".join(table), "## Variables of single programs", "\n".join(others)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _row(name: str, field: FieldInfo) -> Row:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = field.get_default()
    text = None if field.is_required() else _plain(default)
    unit = str(extra.get("unit", ""))
    return Row(f"MAILROOM_{name.upper()}", _type(field), unit, text, field.description or "", CONSEQUENCES[name])


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(kind))
    kind = next((one for one in get_args(kind) if one is not NoneType), kind)
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", SecretStr: "secret"}
    bounds = {
        attribute: str(getattr(one, attribute))
        for one in field.metadata
        for attribute in ("ge", "gt", "le")
        if getattr(one, attribute, None) is not None
    }
    signs = {"ge": "from {}", "gt": "over {}", "le": "to {}"}
    return " ".join([names[kind], *(signs[name].format(bound) for name, bound in bounds.items())])


def _plain(value: Any) -> str:
    if value is None or isinstance(value, SecretStr):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(row: Row) -> str:
    return f"{row.type}, in {row.unit}" if row.unit else row.type


def _default(row: Row) -> str:
    if row.default is None:
        return "**required**"
    return f"`{row.default}`" if row.default else "empty"


def _names(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))
