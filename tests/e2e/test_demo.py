"""The first command that a newcomer runs: `mailroom demo`."""

from uuid import UUID

import httpx

from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack

#: With this many messages, the demo's batch has at least one of each outcome.
MAILS = 60


def test_demo_files_a_mail_and_sends_a_batch_of_every_outcome(stack: Stack) -> None:
    """What it prints is true: each mail has the outcome that its address asks for, and the links work.

    Run again it sends another batch, for another tenant: three in a day would open one tenant's breaker.
    """
    output = stack.json("demo", "--mails", str(MAILS))
    again = stack.mailroom("demo", "--mails", "8").stdout

    batch, batch_id = output["batch"], str(UUID(output["batch"]["id"]))
    rows = stack.ask(
        "select split_part(\"to\" ->> 'address', '+', 1), status, count(*)::int from message"
        " where batch_id = %s group by 1, 2",
        batch_id,
    )
    page = httpx.get(batch["batch_url"], headers={"Authorization": f"Bearer {stack['api_key']}"}, timeout=PATIENCE_S)
    run = stack.prefect("GET", f"/flow_runs/{batch['run_url'].rpartition('/')[2]}")
    assert output["state"] == "filed"
    assert {(word, status): count for word, status, count in rows} == {
        ("user", "delivered"): 45,
        ("open", "opened"): 6,
        ("click", "clicked"): 3,
        ("delay", "deferred"): 1,
        ("softbounce", "bounced"): 1,
        ("bounce", "bounced"): 3,
        ("complaint", "complained"): 1,
    }
    assert batch["statuses"] == {
        "delivered": 45,
        "opened": 6,
        "clicked": 3,
        "deferred": 1,
        "bounced": 4,
        "complained": 1,
    }
    report, bounced = (stack.json("trace", output["bounce"][name]) for name in ("email_id", "message_id"))
    assert (output["bounce"]["status"], bounced["messages"][0]["message"]["status"]) == ("bounced", "bounced")
    assert (report["email"]["route"], report["items"]) == ("report", [])
    shown = stack.mailroom("trace", output["bounce"]["email_id"]).stdout
    assert f"report    bounced_hard of message {output['bounce']['message_id']}" in shown
    assert report["email"]["facts"] == {"report_of": output["bounce"]["message_id"], "event": "bounced_hard"}
    assert page.status_code == 200
    assert batch_id in page.text
    assert run["name"] == batch_id
    assert stack.json("trace", batch_id)["batch"]["messages"] == MAILS
    [(newest, tenant), (oldest, other)] = stack.ask(
        "select id::text, tenant from batch where tenant like 'demo-%%' order by created_at desc"
    )
    assert oldest == batch_id
    assert tenant != other
    assert f"mailroom trace {newest}" in again
    assert "8 of 8 done: 5 delivered, 1 bounced, 1 opened, 1 clicked" in again
