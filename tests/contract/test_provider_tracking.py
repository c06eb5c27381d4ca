"""Tracking of readers: requested from providers that track themselves, refused by those that cannot."""

from contextlib import ExitStack, closing
from pathlib import Path

from mailroom.adapters.providers.folder import Folder
from mailroom.adapters.providers.postmark import Postmark
from mailroom.adapters.providers.sendgrid import SendGrid
from mailroom.domain.errors import Refused
from mailroom.domain.outbound.message import Tracked
from mailroom.sandbox.stand_ins.postmark import PostmarkStandIn
from mailroom.sandbox.stand_ins.sendgrid import SendGridStandIn
from mailroom.sandbox.stand_ins.vendors import serving
from mailroom.testing.provider import a_mail

BOTH = Tracked(opens=True, clicks=True)


def test_readers_are_tracked_by_the_vendor_where_the_mail_wants_it() -> None:
    """Set on every mail: without it the account's default would track recipients who must not be."""
    sendgrids, postmarks = SendGridStandIn(), PostmarkStandIn()
    with ExitStack() as stack:
        grid = SendGrid(key="k", account="a", url=stack.enter_context(serving(sendgrids)))
        mark = Postmark(token="t", server="s", url=stack.enter_context(serving(postmarks)))
        for provider in (stack.enter_context(closing(grid)), stack.enter_context(closing(mark))):
            provider.send([a_mail(tracking=BOTH)])
            provider.send([a_mail()])

    assert [payload["tracking_settings"] for payload in sendgrids.payloads] == [
        {"click_tracking": {"enable": wanted, "enable_text": False}, "open_tracking": {"enable": wanted}}
        for wanted in (True, False)
    ]
    output = [(payload["TrackOpens"], payload["TrackLinks"]) for [payload] in postmarks.payloads]
    assert output == [(True, "HtmlOnly"), (False, "None")]


def test_mail_to_be_tracked_is_refused_by_a_provider_that_cannot(tmp_path: Path) -> None:
    """Our own links are in it by then, or none are: a request that is left is an error, and never dropped."""
    [refused] = Folder(tmp_path).send([a_mail(tracking=BOTH)])

    assert isinstance(refused, Refused)
    assert refused.facts["feature"] == "tracks"
    assert list(tmp_path.iterdir()) == []
