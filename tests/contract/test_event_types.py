"""The types of events that the embedded stack's SES publishes are those that are understood, and no other."""

from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.ses.models import ses_backends

from mailroom.delivery.provider_events import ses
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.sandbox.stack.environment import ACCOUNT
from mailroom.sandbox.stand_ins.emulator import EventPublisher
from mailroom.sandbox.stand_ins.ses_api import plain_type

STEM = "eventtypes"


@pytest.fixture
def sesv2(aws: str) -> Iterator[Any]:
    """SES's API v2, with no event destination but this test's: moto's state belongs to the process."""
    backend = ses_backends[ACCOUNT]["eu-west-1"]
    others = dict(backend.config_set_event_destination)
    backend.config_set_event_destination.clear()
    provision(Names(stem=STEM))
    yield cast("Any", boto3).client("sesv2")
    backend.config_set_event_destination.clear()
    backend.config_set_event_destination.update(others)


def destination(sesv2: Any) -> dict[str, Any]:
    [found] = sesv2.get_configuration_set_event_destinations(ConfigurationSetName=STEM)["EventDestinations"]
    return cast("dict[str, Any]", found)


def published(sesv2: Any, **changes: Any) -> set[str]:
    """Return the types that are published of a mail with an automatic reply, after changing the event destination."""
    wanted = {name: value for name, value in destination(sesv2).items() if name != "Name"} | changes
    place = {"ConfigurationSetName": STEM, "EventDestinationName": f"{STEM}-tracking"}
    sesv2.update_configuration_set_event_destination(**place, EventDestination=wanted)
    bodies: list[str] = []
    publisher = EventPublisher(lambda topic, text: bodies.append(text))
    publisher.once()
    bodies.clear()
    mail = b"From: desk@mailroom.test\r\nTo: ooto+1@users.test\r\nSubject: x\r\n\r\nHi\r\n"
    sesv2.send_email(Destination={"ToAddresses": ["ooto+1@users.test"]}, Content={"Raw": {"Data": mail}})
    publisher.once()
    return {word for body in bodies for word in ("Send", "Delivery", "Bounce") if f'"eventType":"{word}"' in body}


def test_requested_types_are_all_that_the_reader_understands(sesv2: Any) -> None:
    """A type that is not requested is never known; one that is not understood is queued in vain."""
    requested = destination(sesv2)["MatchingEventTypes"]

    assert {plain_type(word) for word in requested} == {plain_type(word) for word in ses.EVENT_TYPES}


def test_requested_types_are_all_that_the_api_has(sesv2: Any) -> None:
    """botocore's model lists the types; a new one fails here."""
    shape = sesv2.meta.service_model.shape_for("EventType")

    assert set(destination(sesv2)["MatchingEventTypes"]) == set(shape.enum)


def test_a_type_that_is_not_requested_is_not_published(sesv2: Any) -> None:
    """A laptop shows what a wrong configuration set does."""
    assert published(sesv2) == {"Send", "Delivery", "Bounce"}
    assert published(sesv2, MatchingEventTypes=["SEND", "BOUNCE"]) == {"Send", "Bounce"}
    assert published(sesv2, MatchingEventTypes=[]) == set()
    assert published(sesv2, Enabled=False) == set()


def test_provisioning_again_writes_the_types_again(sesv2: Any) -> None:
    """An older stack has fewer types; the next start completes them."""
    published(sesv2, MatchingEventTypes=["SEND"])

    provision(Names(stem=STEM))

    assert "SUBSCRIPTION" in destination(sesv2)["MatchingEventTypes"]


def test_emulator_sends_from_subdomains_of_a_verified_domain_and_from_no_other(sesv2: Any) -> None:
    """As SES does: what the check before submission accepts is sent."""

    def send(sender: str) -> None:
        mail = f"From: {sender}\r\nTo: a@users.test\r\nSubject: x\r\n\r\nHi\r\n".encode()
        sesv2.send_email(Destination={"ToAddresses": ["a@users.test"]}, Content={"Raw": {"Data": mail}})

    send("desk@Sub.mailroom.test")
    with pytest.raises(ClientError) as caught:
        send("desk@notmailroom.test")

    assert caught.value.response["Error"]["Code"] == "MessageRejected"


def test_event_destination_of_nothing_is_refused(sesv2: Any) -> None:
    """As by SES: a configuration set or destination that is not there."""
    place = {"ConfigurationSetName": "nothing", "EventDestinationName": "nothing"}
    for call in (
        sesv2.create_configuration_set_event_destination,
        sesv2.update_configuration_set_event_destination,
    ):
        with pytest.raises(ClientError) as caught:
            call(**place, EventDestination={"Enabled": True})

        assert caught.value.response["Error"]["Code"] == "NotFoundException"
