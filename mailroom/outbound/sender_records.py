"""The DNS records that let a provider send for a domain, and their state: as the provider reports it, and as DNS answers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound.content_rules import address
from mailroom.domain.outbound.providers import REGISTRY
from mailroom.domain.texts import Text
from mailroom.ports.dns import Dns, RecordType
from mailroom.ports.sender_identities import IdentityState, SenderIdentity, with_parents

_AT_ONCE = 8
#: Top-level names for tests and examples.
_NOT_IN_DNS = frozenset({"test", "example", "invalid", "localhost"})
#: A policy that only asks for reports: the first one to publish.
_DMARC = "v=DMARC1; p=none"


class RecordState(StrEnum):
    """What DNS answers. Stable words of `mailroom sender verify --json`."""

    FOUND = "found"
    MISSING = "missing"
    DIFFERENT = "different"
    #: Not asked, or no server answered in time.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRecord:
    """One DNS record to set. `needed` is false for one that only helps; `provider` is the provider's state for it, if it says."""

    purpose: str
    name: str
    type: RecordType
    value: str
    needed: bool = True
    provider: IdentityState = IdentityState.UNKNOWN
    dns: RecordState = RecordState.UNKNOWN

    @property
    def is_missing(self) -> bool:
        """Whether the record must still be set: DNS says so, or the provider where DNS is not known."""
        if not self.needed or self.dns is RecordState.FOUND:
            return False
        if self.dns is not RecordState.UNKNOWN:
            return True
        return self.provider in (IdentityState.PENDING, IdentityState.FAILED, IdentityState.MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReport:
    """Whether a provider sends for a domain, and what is to be done. `identity` is the domain that covers it, if another."""

    domain: str
    provider: str
    state: IdentityState
    identity: str = ""
    records: tuple[SenderRecord, ...] = ()
    advice: tuple[str, ...] = field(default=())

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, as far as is known."""
        refused = (IdentityState.PENDING, IdentityState.FAILED, IdentityState.MISSING)
        return self.state not in refused and not any(record.is_missing for record in self.records)

    def as_json(self) -> dict[str, Any]:
        """Return the fields for programs."""
        records = [asdict(record) | {"missing": record.is_missing} for record in self.records]
        return asdict(self) | {"records": records, "complete": self.is_complete}


def sender_domain(written: str) -> str:
    """Return a domain as A-labels in lower case.

    Raises:
        ValueError: it is none; the message says why.
    """
    return normalise(address(f"any@{written.strip().rstrip('.').lower()}")).removeprefix("any@")


def of_ses(domain: str, identity: SenderIdentity | None) -> SenderReport:
    """Return the records that SES's identity of a domain needs; without one, what to do first."""
    if identity is None:
        what = Text(
            "SES has no identity for %(domain)s: create it with `mailroom sender verify %(domain)s --create`, then set its records",
            domain=domain,
        )
        state = IdentityState.MISSING
        return SenderReport(domain=domain, provider="ses", state=state, records=(_dmarc(domain),), advice=(what,))
    records = [*_dkim(identity), *_mail_from(identity), _dmarc(domain)]
    advice = [] if identity.mail_from else [Text(_NO_MAIL_FROM, domain=identity.domain)]
    if identity.state is IdentityState.FAILED:
        advice.append(Text("SES gave up after 72 hours without the records: set them, then ask again with --create"))
    return SenderReport(
        domain=domain,
        provider="ses",
        state=identity.state,
        identity=identity.domain if identity.domain != domain else "",
        records=tuple(records),
        advice=tuple(advice),
    )


_NO_MAIL_FROM = (
    "no MAIL FROM domain of your own: SPF passes for amazonses.com only, and DKIM alone carries DMARC; to set one, "
    "`mailroom sender verify %(domain)s --create --mail-from bounces.%(domain)s`"
)


def of_smtp(domain: str, *, host: str, dkim: tuple[str, str, str] | None) -> SenderReport:
    """Return the records for a relay; `dkim` is the domain, name and value of the configured key's record."""
    spf = SenderRecord(
        purpose="SPF", name=domain, type=RecordType.TXT, value=f"v=spf1 include:(what {host} names) ~all", needed=False
    )
    advice = [f"SPF must allow the servers of {host}: its operator says which `include:` or `ip4:` to add"]
    if dkim is None:
        advice.append(
            "no DKIM key in the block `mailroom-provider-smtp`: the relay must sign, or set dkim_domain and dkim_key there"
        )
        return _without_identity(domain, "smtp", (spf, _dmarc(domain)), advice)
    signer, name, value = dkim
    if signer not in with_parents(domain):
        advice.append(
            f"mail is signed by {signer}, which does not align with {domain}: DMARC fails; sign with {domain}"
        )
    record = SenderRecord(purpose="DKIM", name=name, type=RecordType.TXT, value=value)
    return _without_identity(domain, "smtp", (record, spf, _dmarc(domain)), advice)


_CONSOLES = {row.name: row.sender_console for row in REGISTRY if row.sender_console}


def of_another(domain: str, provider: str) -> SenderReport:
    """Return the report for a provider that is not asked: where its console shows the records."""
    advice = f"the provider `{provider}` needs no records here"
    if place := _CONSOLES.get(provider):
        advice = f"the console of {provider} shows the records and their state: {place}; Mailroom does not ask its API"
    return _without_identity(domain, provider, (_dmarc(domain),) if provider in _CONSOLES else (), [advice])


def asked_of_dns(report: SenderReport, dns: Dns) -> SenderReport:
    """Return the report with what DNS answers for each record; all are asked at once."""
    if report.domain.rpartition(".")[2] in _NOT_IN_DNS:
        advice = f"names under .{report.domain.rpartition('.')[2]} are not in DNS (RFC 2606), so it was not asked"
        return replace(report, advice=(*report.advice, advice))
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        states = list(threads.map(lambda record: _answered(record, dns), report.records))
    return replace(
        report, records=tuple(replace(record, dns=state) for record, state in zip(report.records, states, strict=True))
    )


def _without_identity(
    domain: str, provider: str, records: tuple[SenderRecord, ...], advice: Sequence[str]
) -> SenderReport:
    state = IdentityState.UNKNOWN
    return SenderReport(domain=domain, provider=provider, state=state, records=records, advice=tuple(advice))


def _dkim(identity: SenderIdentity) -> list[SenderRecord]:
    if identity.own_key:
        return [
            SenderRecord(
                purpose="DKIM",
                name=f"{token}._domainkey.{identity.domain}",
                type=RecordType.TXT,
                value="p=(the public key of the pair that SES was given)",
                provider=identity.dkim,
            )
            for token in identity.dkim_tokens
        ]
    return [
        SenderRecord(
            purpose="DKIM",
            name=f"{token}._domainkey.{identity.domain}",
            type=RecordType.CNAME,
            value=f"{token}.{identity.dkim_zone}",
            provider=identity.dkim,
        )
        for token in identity.dkim_tokens
    ]


def _mail_from(identity: SenderIdentity) -> list[SenderRecord]:
    if not identity.mail_from:
        return []
    about = {"name": identity.mail_from, "provider": identity.mail_from_state}
    relay = f"feedback-smtp.{identity.region}.amazonses.com"
    return [
        SenderRecord(purpose="MAIL FROM", type=RecordType.MX, value=f"10 {relay}", **about),  # type: ignore[arg-type]
        SenderRecord(purpose="SPF", type=RecordType.TXT, value="v=spf1 include:amazonses.com ~all", **about),  # type: ignore[arg-type]
    ]


def _dmarc(domain: str) -> SenderRecord:
    return SenderRecord(purpose="DMARC", name=f"_dmarc.{domain}", type=RecordType.TXT, value=_DMARC)


def _answered(record: SenderRecord, dns: Dns) -> RecordState:
    if record.purpose == "DMARC":
        return _dmarc_state(record, dns)
    values = dns.records(record.name, record.type)
    if values is None:
        return RecordState.UNKNOWN
    if record.purpose == "SPF":
        return _spf_state(record, values)
    if record.type is RecordType.TXT:
        # A key of which only the provider knows the public part is there if any is.
        wanted = _key(record.value)
        keys = [key for value in values if (key := _key(value))]
        same = wanted in keys or (bool(keys) and wanted.startswith("("))
        return RecordState.FOUND if same else RecordState.DIFFERENT if keys else RecordState.MISSING
    if record.value.lower() in values:
        return RecordState.FOUND
    return RecordState.DIFFERENT if values else RecordState.MISSING


def _spf_state(record: SenderRecord, values: Sequence[str]) -> RecordState:
    policies = [value.lower() for value in values if value.lower().split(" ")[0] == "v=spf1"]
    if len(policies) > 1:
        # RFC 7208 4.5: more than one is an error.
        return RecordState.DIFFERENT
    if not policies:
        return RecordState.MISSING
    wanted = next(word for word in record.value.lower().split() if word.startswith("include:"))
    return (
        RecordState.FOUND if wanted.startswith("include:(") or wanted in policies[0].split() else RecordState.DIFFERENT
    )


def _dmarc_state(record: SenderRecord, dns: Dns) -> RecordState:
    """A policy of the domain, or of a parent: receivers use the organisation's where the domain has none (RFC 7489 6.6.3)."""
    state = RecordState.MISSING
    for domain in with_parents(record.name.removeprefix("_dmarc.")):
        values = dns.records(f"_dmarc.{domain}", RecordType.TXT)
        if values is None:
            state = RecordState.UNKNOWN
        elif any(value.replace(" ", "").lower().startswith("v=dmarc1") for value in values):
            return RecordState.FOUND
    return state


def _key(value: str) -> str:
    """Return the public key in a DKIM record's text: its tag `p`, without blanks."""
    tags = (tag.strip() for tag in value.split(";"))
    return next(("".join(tag[2:].split()) for tag in tags if tag.startswith("p=")), "")
