"""The demo's bounce by mail: a relay accepts one message by SMTP and returns it later, to the return path.

The demo sends this message itself, in place of a worker: the workers of the sandbox send by SES, which has events.
"""

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from mailroom.cli._api_client import ApiClient
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError, MailroomError, PermanentError
from mailroom.domain.outbound.message import Outgoing, Status
from mailroom.outbound.rendering import outgoing
from mailroom.outbound.return_paths import WithReturnPaths
from mailroom.ports.dispatch import Outcome
from mailroom.ports.message_reader import MessageLine
from mailroom.ports.provider import MailProvider
from mailroom.sandbox.stack.ports import any_free_port
from mailroom.sandbox.stand_ins.returning_relay import returning_relay
from mailroom.wiring import smtp_relay

_PATIENCE_S = 60
_PAUSE_S = 0.2
#: A worker may take the message before the demo does, and send it by SES.
_TRIES = 5


def send_and_return(opened: Opened, api: ApiClient, door: tuple[str, int]) -> MessageLine:
    """Send one message by SMTP, have it returned to the SMTP server `door`, and return it once that is recorded.

    Raises:
        ConfigurationError: the stack was started by an older version.
        PermanentError: it was not sent, or not recorded in time.
    """
    if not opened.settings.bounce_domain:
        raise ConfigurationError("the running stack has no bounce domain; run `mailroom down`, then the demo again")
    port = any_free_port()
    with returning_relay(port) as relay, smtp_relay("127.0.0.1", port) as provider:
        for _ in range(_TRIES):
            message_id = _send(opened, provider, _submit(api))
            if message_id is not None:
                break
        else:
            raise PermanentError("a worker sent the demo's message by SES each time; run the demo again")
        relay.return_all(*door)
    return _followed(opened, message_id)


def _submit(api: ApiClient) -> str:
    """Submit a batch of one message, for a new tenant and to a new address: this one is suppressed afterwards."""
    mark = secrets.token_hex(4)
    message = {"to": f"gone+{mark}@users.test", "subject": "Your order 1000", "text": "Your order is on its way.\n"}
    body = json.dumps({"messages": [message]}).encode()
    answer = api.submit(body, key=str(uuid4()), tenant=f"returned-{mark}", dry_run=False, sent=lambda _: None).answer
    return str(answer["id"])


def _send(opened: Opened, provider: MailProvider, batch_id: str) -> str | None:
    """Send the message as a worker does, with its return path; None if a worker was first."""
    dispatch, now = opened.store.dispatch, datetime.now(UTC)
    claims = dispatch.claim(batch_id, most=1, provider=provider.name, now=now)
    if not claims:
        return None
    mails: list[Outgoing | MailroomError] = [*outgoing(claims, dispatch=dispatch, archive=opened.archive)]
    mails = WithReturnPaths(opened.settings.bounce_domain, opened.store.return_paths)(mails, claims)
    [result] = provider.send([mail for mail in mails if isinstance(mail, Outgoing)])
    dispatch.settle([Outcome(claims[0].draft.id, claims[0].attempt, result)], now=datetime.now(UTC))
    return claims[0].draft.id


def _followed(opened: Opened, message_id: str) -> MessageLine:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        line = opened.message_reader.message(None, message_id)
        if line is not None and line.status == Status.BOUNCED:
            return line
        time.sleep(_PAUSE_S)
    raise PermanentError(
        "the bounce was not recorded in time; see `mailroom status` and the worker's log", message_id=message_id
    )


def facts_of(opened: Opened, message_id: str) -> dict[str, Any]:
    """Return the facts of the message's bounce: `email` is the id of the received report."""
    activities = opened.message_reader.activities(None, message_id) or []
    return next((dict(one.facts) for one in activities if one.kind == "bounced_hard"), {})
