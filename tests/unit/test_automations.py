"""The list of alarms: complete, explained, and sent to the operator's notification block."""

from uuid import uuid4

import pytest
from prefect.events.actions import RunDeployment, SendNotification

from deployments.automations import ALARMS, Alarm, automation
from flows.support.events import EventName
from mailroom.settings import CHECKOUT


def test_every_event_that_we_emit_has_an_alarm() -> None:
    """An event without an alarm is read by no one."""
    assert set(EventName) <= {event for alarm in ALARMS for event in alarm.events}


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_every_alarm_says_what_to_do(alarm: Alarm) -> None:
    """The operator on call opens this page."""
    assert f"| {alarm.name} |" in (CHECKOUT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_an_alarm_is_raised_without_any_setting_and_sent_where_there_is_a_block(alarm: Alarm) -> None:
    """A new installation has nobody to notify yet, and its alarms must be seen all the same."""
    raising, block = uuid4(), uuid4()

    alone, output = automation(alarm, raising, []), automation(alarm, raising, [block])

    assert [action.deployment_id for action in alone.actions if isinstance(action, RunDeployment)] == [raising]
    assert not any(isinstance(action, SendNotification) for action in alone.actions)
    assert [one.block_document_id for one in output.actions if isinstance(one, SendNotification)] == [block]
