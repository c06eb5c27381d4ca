"""Calls of SES's API v2, for moto: event destinations of a configuration set, and the state of identities.

moto 5.2.5 has event destinations in API v1 alone, which has neither delivery delays nor subscriptions. It sends from every
identity that exists, and API v2 reports all of them as not verified; here each is verified as soon as it exists. In moto a
domain does not cover its subdomains.
Source: Amazon SES API v2 reference, CreateConfigurationSetEventDestination and GetEmailIdentity.
"""

import hashlib
import json
from email.utils import parseaddr
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.ses.exceptions import NotFoundException
from moto.ses.models import EmailIdentity, SESBackend
from moto.sesv2 import urls
from moto.sesv2.responses import SESV2Response

from mailroom.ports.sender_identities import with_parents

_SETS, _IDENTITY = (
    "{0}/v2/email/configuration-sets/(?P<ConfigurationSetName>[^/]+)",
    "{0}/v2/email/identities/(?P<EmailIdentity>[^/]+)",
)
_PATHS = (
    f"{_SETS}/event-destinations$",
    f"{_SETS}/event-destinations/(?P<EventDestinationName>[^/]+)$",
    f"{_IDENTITY}/mail-from$",
)
#: SES identities sign with three keys.
_KEYS = 3

_describe = EmailIdentity.get_response_object.fget  # type: ignore[attr-defined]


class AlreadyExists(JsonRESTError):
    """SES's response to creating what is there."""

    code = 400

    def __init__(self) -> None:
        super().__init__("AlreadyExistsException", "it exists already")


def like_ses() -> None:
    """Make moto in this process answer these calls; may be called again. Servers that start later have their paths."""
    urls.url_paths.update(dict.fromkeys(_PATHS, SESV2Response.dispatch))
    answers = {
        "create_configuration_set_event_destination": _create,
        "update_configuration_set_event_destination": _update,
        "get_configuration_set_event_destinations": _list,
        "put_email_identity_mail_from_attributes": _put_mail_from,
    }
    for name, answer in answers.items():
        setattr(SESV2Response, name, answer)
    SESBackend._is_verified_address = _is_served  # type: ignore[method-assign]
    EmailIdentity.get_response_object = property(_verified)  # type: ignore[method-assign, assignment]


def event_types(destination: dict[str, Any]) -> frozenset[str]:
    """Return the types that an event destination takes, in capitals without blanks or underscores; none if it is disabled."""
    if not destination.get("Enabled", True):
        return frozenset()
    return frozenset(plain_type(word) for word in destination.get("MatchingEventTypes") or ())


def plain_type(word: str) -> str:
    """Return an event type as `event_types` does: API v1, API v2 and the events themselves spell it differently."""
    return word.replace("_", "").replace(" ", "").upper()


def topic_of(destination: dict[str, Any]) -> str | None:
    """Return the ARN of an event destination's topic, or None."""
    for place, name in (("SNSDestination", "TopicARN"), ("SnsDestination", "TopicArn")):  # API v1, API v2
        if topic := (destination.get(place) or {}).get(name):
            return str(topic)
    return None


def _create(self: SESV2Response) -> str:
    backend, name, body = _backend(self), str(self.uri_match["ConfigurationSetName"]), json.loads(self.body)
    if body["EventDestinationName"] in backend.event_destinations:
        raise AlreadyExists
    return _keep(backend, name, body["EventDestinationName"], body["EventDestination"])


def _update(self: SESV2Response) -> str:
    backend, name = _backend(self), str(self.uri_match["ConfigurationSetName"])
    destination = str(self.uri_match["EventDestinationName"])
    if destination not in backend.event_destinations:
        raise NotFoundException(destination)
    return _keep(backend, name, destination, json.loads(self.body)["EventDestination"])


def _keep(backend: SESBackend, name: str, destination: str, values: dict[str, Any]) -> str:
    if name not in backend.config_sets:
        raise NotFoundException(name)
    # moto keeps one for each configuration set.
    backend.config_set_event_destination[name] = {"Name": destination, "Enabled": False, **values}
    backend.event_destinations[destination] = 1
    return "{}"


def _list(self: SESV2Response) -> str:
    name = str(self.uri_match["ConfigurationSetName"])
    found = _backend(self).config_set_event_destination.get(name)
    return json.dumps({"EventDestinations": [found] if found else []})


def _put_mail_from(self: SESV2Response) -> str:
    name, domain = str(self.uri_match["EmailIdentity"]), json.loads(self.body).get("MailFromDomain")
    identity = self.sesv2_backend.get_email_identity(name)
    identity.mail_from = {"MailFromDomain": domain, "MailFromDomainStatus": "SUCCESS"} if domain else {}  # type: ignore[attr-defined]
    return "{}"


def _is_served(self: SESBackend, source: str) -> bool:
    """Return whether SES sends from an address: a domain covers its subdomains."""
    address = parseaddr(source)[1].lower()
    names = {name.lower() for name in self.email_identities}
    return address in names or any(parent in names for parent in with_parents(address.rpartition("@")[2]))


def _verified(self: EmailIdentity) -> dict[str, Any]:
    tokens = [hashlib.sha256(f"{self.email_identity}{key}".encode()).hexdigest()[:32] for key in range(_KEYS)]
    dkim = {"SigningEnabled": True, "Status": "SUCCESS", "Tokens": tokens, "SigningAttributesOrigin": "AWS_SES"}
    return {
        **_describe(self),
        "VerifiedForSendingStatus": True,
        "DkimAttributes": dkim,
        "MailFromAttributes": getattr(self, "mail_from", {}),
    }


def _backend(response: SESV2Response) -> SESBackend:
    return response.sesv2_backend.core_backend
