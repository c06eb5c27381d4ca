"""Sender domains: the DNS records by which the provider sends for one, and their state.

\b
    mailroom sender verify acme.test             the records to set, as the provider reports them and as DNS answers
    mailroom sender verify acme.test --create    create SES's identity first; the same again changes nothing
    mailroom sender verify acme.test --no-dns    what the provider reports, without asking DNS
    mailroom sender verify acme.test --json      for programs

The exit code is 1 while something is missing. A batch from a domain that SES has not verified is refused; within 15 seconds of
the verification it is accepted.
"""

import json
from typing import Annotated

import typer

from mailroom.adapters.prefect.provider_blocks import ProviderBlock
from mailroom.adapters.providers.dkim_signatures import Dkim
from mailroom.adapters.providers.sender_lookup import SenderLookup
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError, MailroomError
from mailroom.outbound.sender_records import (
    RecordState,
    SenderRecord,
    SenderReport,
    asked_of_dns,
    of_another,
    of_ses,
    of_smtp,
    sender_domain,
)
from mailroom.ports.sender_identities import IdentityState
from mailroom.settings import use_stack_environment

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def _sender() -> None:
    """Keep `verify` a command of its own."""


@app.command()
def verify(
    domain: Annotated[str, typer.Argument(help="The domain of the sender addresses, such as acme.test.")],
    create: Annotated[
        bool, typer.Option("--create", help="Create SES's identity if there is none; nothing is sent by that.")
    ] = False,
    mail_from: Annotated[
        str, typer.Option(help="With --create: the MAIL FROM domain to set, a subdomain such as bounces.acme.test.")
    ] = "",
    provider: Annotated[
        str,
        typer.Option(
            help="Name of a provider, as in `mailroom providers`; by default that of the outbound block in Prefect."
        ),
    ] = "",
    no_dns: Annotated[bool, typer.Option("--no-dns", help="Do not ask DNS.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the DNS records to set for a sender domain, and their state; exit with 1 while one is missing.

    \b
    DKIM      the provider's keys, by which receivers prove the sender
    MAIL FROM the domain that gets bounces, with its SPF
    DMARC     what receivers do with mail that proves nothing

    \b
      mailroom sender verify acme.test
      mailroom sender verify acme.test --create --mail-from bounces.acme.test
    """
    name, returns_to = _domain(domain), _domain(mail_from) if mail_from else ""
    if returns_to and not returns_to.endswith(f".{name}"):
        raise ConfigurationError(f"--mail-from must be a subdomain of {name}, such as bounces.{name}")
    if returns_to and not create:
        raise ConfigurationError("--mail-from changes the identity: use it with --create")
    # On a laptop SES is the emulator, never AWS by accident.
    use_stack_environment()
    opened = Opened()
    report = _report(opened.sender_lookup, name, provider, create=create, mail_from=returns_to)
    if not no_dns:
        report = asked_of_dns(report, opened.dns())
    say(json.dumps(report.as_json(), indent=1) if as_json else "\n".join(_lines(report)))
    if not report.is_complete:
        raise typer.Exit(1)


def _domain(written: str) -> str:
    try:
        return sender_domain(written)
    except ValueError as error:
        raise ConfigurationError(f"{written!r} is no domain: {error}") from None


def _report(lookup: SenderLookup, domain: str, named: str, *, create: bool, mail_from: str) -> SenderReport:
    try:
        block = lookup.block()
        if block is not None and block.provider == "smtp":
            # The public key to publish follows from the private one.
            block = lookup.block(with_secrets=True)
    except MailroomError as error:
        if not named:
            raise ConfigurationError(f"{error}; it knows the provider: start it, or name one with --provider") from None
        block = None
    provider = named or (block.provider if block else "")
    if not provider:
        raise ConfigurationError("Prefect has no outbound block yet: start a worker once, or name one with --provider")
    configured = block if block is not None and block.provider == provider else None
    if provider == "ses":
        return _of_ses(lookup, configured, domain, create=create, mail_from=mail_from)
    if create:
        raise ConfigurationError(f"--create is for SES; mail is sent by {provider}")
    return _of_smtp(configured, domain) if provider == "smtp" else of_another(domain, provider)


def _of_ses(
    lookup: SenderLookup, block: ProviderBlock | None, domain: str, *, create: bool, mail_from: str
) -> SenderReport:
    identities = lookup.of_ses(block)
    try:
        if create:
            identities.create(domain, mail_from=mail_from)
        return of_ses(domain, identities.find(domain))
    except MailroomError as error:
        raise ConfigurationError(
            f"SES cannot be asked: {error}; needed are ses:GetEmailIdentity, and for --create ses:CreateEmailIdentity and "
            "ses:PutEmailIdentityMailFromAttributes"
        ) from None


def _of_smtp(block: ProviderBlock | None, domain: str) -> SenderReport:
    fields = block.fields if block is not None else {}
    host, signer, key = str(fields.get("host") or "the relay"), fields.get("dkim_domain"), fields.get("dkim_key")
    if not signer or not key:
        return of_smtp(domain, host=host, dkim=None)
    made = Dkim(domain=str(signer), selector=str(fields.get("dkim_selector") or "mailroom"), key_pem=str(key))
    return of_smtp(domain, host=host, dkim=(str(signer), *made.record))


def _lines(report: SenderReport) -> list[str]:
    covered = f", covered by {report.identity}" if report.identity else ""
    state = "" if report.state is IdentityState.UNKNOWN else f": {report.state}{covered}"
    lines = [f"{report.domain} at {report.provider}{state}"]
    for record in report.records:
        lines += ["", f"{record.purpose:<9} {record.type:<5} {record.name}", f"{'':<15} {record.value}", _state(record)]
    if report.advice:
        lines += ["", *report.advice]
    lines += ["", "complete" if report.is_complete else "something is missing: set it, and run this again"]
    return lines


def _state(record: SenderRecord) -> str:
    states = [] if record.provider is IdentityState.UNKNOWN else [f"provider: {record.provider}"]
    states += [] if record.dns is RecordState.UNKNOWN else [f"DNS: {record.dns}"]
    text = ", ".join(states) or "state not known"
    return f"{'':<15} {text}{'' if record.needed else ' (advised)'}"
