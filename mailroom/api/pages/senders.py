"""The page of sender domains: which the provider sends for, and the DNS records of one, as the provider reports them."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import HTMLResponse, Response

from mailroom.api.access import tenant_for
from mailroom.api.auth import PageHolder
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppOutbound, AppServices, OutboundServices
from mailroom.api.v1.inbound import Tenant
from mailroom.domain.errors import MailroomError
from mailroom.outbound.sender_records import SenderReport, of_ses, sender_domain
from mailroom.ports.sender_identities import ServedIdentities

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

#: Domains shown at most; an account of SES may have 10,000 identities.
_MOST = 200


@router.get("/senders")
def senders(
    services: AppServices,
    holder: PageHolder,
    sending: AppOutbound,
    domain: Annotated[str | None, Query(max_length=255)] = None,
    tenant: Tenant = None,
) -> Response:
    """The sender domains of a tenant, or of the installation for an administrator; with `domain`, its records."""
    owner = tenant_for(holder, tenant)
    served = sending.served.identities() if sending.served is not None else None
    domains = _domains(sending, owner, served, services.settings.sender)
    name = _chosen(sending, owner, domain, domains) if domain and domain.strip() else ""
    report, away = _report(sending, name) if name else (None, False)
    return render(
        "senders.html",
        owner=owner,
        lines=[(one, served.covering(f"any@{one}") if served is not None else None) for one in domains[:_MOST]],
        more=max(0, len(domains) - _MOST),
        served=served,
        asked=name,
        report=report,
        away=away,
    )


def _domains(sending: OutboundServices, owner: str | None, served: ServedIdentities | None, default: str) -> list[str]:
    """Return the domains of the tenant's patterns, or all of the provider's for an administrator; else the default sender's."""
    names = sending.senders.patterns(owner) if owner is not None else []
    if owner is None and served is not None:
        names = [*served.domains, *served.addresses]
    names = names or [default]
    return sorted({name.rpartition("@")[2].rstrip(">").lower() for name in names} - {""})


def _chosen(sending: OutboundServices, owner: str | None, written: str, domains: list[str]) -> str:
    """Return the domain to show; a tenant sees only those that it may send from.

    Raises:
        HTTPException: 404 for another tenant's, as for anything that does not exist; 422 where it is no domain.
    """
    try:
        name = sender_domain(written)
    except ValueError:
        raise HTTPException(422, "domain: not a domain such as acme.test.") from None
    if owner is not None and name not in domains and not sending.senders.may(owner, f"any@{name}"):
        raise HTTPException(404, "Sender domain not found.")
    return name


def _report(sending: OutboundServices, domain: str) -> tuple[SenderReport | None, bool]:
    """Return the report, or None; and whether the provider could not be asked."""
    try:
        identities = sending.identities()
        return (None, False) if identities is None else (of_ses(domain, identities.find(domain)), False)
    except MailroomError:
        return None, True
