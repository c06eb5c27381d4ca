"""Postmark: up to 500 mails in a call, each with its own result, and a search for a mail by our id.

Source: postmarkapp.com/developer/api, "Email", "Messages" and "Overview" with the error codes, and the support article
"Custom metadata FAQ" for the search by metadata (read November 2026).
"""

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mailroom.adapters.providers.capability_checks import require, require_size
from mailroom.adapters.providers.http_post import HttpAnswer, Poster, verdict
from mailroom.domain.errors import MailroomError, OutcomeUnknown, Paused, Refused, Throttled, TransientError
from mailroom.domain.mail.mime import TAG, tagged_headers
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

API = "https://api.postmarkapp.com"
#: A call may have 50 MB, and each mail in it 10.
_CALL_BYTES = 50 * 10**6
#: Codes that stop the account rather than the mail: bad token, no credits, pending approval, not allowed to send.
_ACCOUNT = frozenset({10, 405, 412, 413})
_MAINTENANCE, _RATE = 100, 429
_OF_THE_CALL = _ACCOUNT | {_MAINTENANCE, _RATE}
#: A search that finds nothing proves nothing sooner than this after sending, because the index lags, and later than this,
#: because the shortest retention of an account is seven days.
_TOO_EARLY, _TOO_LATE = timedelta(minutes=15), timedelta(days=6)


class Postmark:
    """The port `MailProvider` on Postmark; `stream` is the message stream that the mails go through."""

    name = "postmark"
    capabilities = Capabilities(batch=500, max_bytes=10 * 10**6, asks=True, tracks=True)

    def __init__(
        self, *, token: str, server: str, stream: str = "outbound", url: str = API, timeout_s: float = 60
    ) -> None:
        self.identity = f"{self.name}/{server}"
        self._stream = stream
        self._poster = Poster(self.name, url, headers={"X-Postmark-Server-Token": token}, timeout_s=timeout_s)

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send each mail once, in as few calls as the limits allow.

        When a call finds the provider throttled, stopped or away, the mails of later calls get its error untried.
        """
        results: list[ProviderReceipt | MailroomError] = []
        ready: list[tuple[int, bytes]] = []
        for number, mail in enumerate(mails):
            try:
                ready.append((number, self._prepared(mail)))
                results.append(TransientError("the provider was not called", provider=self.name))
            except MailroomError as error:
                results.append(error)
        for call in _calls(ready, most=self.capabilities.batch):
            answers = self._call([content for _, content in call])
            for (number, _), answer in zip(call, answers, strict=True):
                results[number] = answer
            if all(isinstance(answer, TransientError) for answer in answers):
                for number, _ in ready[ready.index(call[-1]) + 1 :]:
                    results[number] = answers[0]
                break
        return results

    def quota(self) -> ProviderQuota:
        """Return an empty quota: Postmark's API has none."""
        return ProviderQuota()

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt of the mail with our id, found by its metadata; None: Postmark does not have it.

        Raises:
            OutcomeUnknown: it is too early or too late to know, or the response does not say.
        """
        query = {"count": "2", "offset": "0", "messagestream": self._stream, f"metadata_{TAG}": message_id}
        answer = self._poster.get("/messages/outbound", query)
        if answer.status == 429:
            raise verdict(answer, provider=self.name)
        match answer.body:
            case {"Messages": [{"MessageID": str() as known, "Metadata": {"mailroom-id": tag}}, *_]} if (
                tag == message_id
            ):
                return ProviderReceipt(self.name, known)
            case {"TotalCount": 0} if answer.status == 200 and _TOO_EARLY < datetime.now(UTC) - since < _TOO_LATE:
                return None
        raise OutcomeUnknown("the provider has no record of the outcome", provider=self.name, status=answer.status)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _prepared(self, mail: Outgoing) -> bytes:
        require(mail, self.capabilities, provider=self.name)
        # In UTF-8: escapes would be three times as long for most letters, and `wire_size` counts without them.
        content = json.dumps(_payload(mail, self._stream), ensure_ascii=False).encode()
        require_size(len(content), self.capabilities, provider=self.name)
        return content

    def _call(self, contents: Sequence[bytes]) -> list[ProviderReceipt | MailroomError]:
        try:
            answer = self._poster.post("/email/batch", b"[" + b",".join(contents) + b"]")
        except MailroomError as error:
            return [error] * len(contents)
        match answer:
            case HttpAnswer(status=200, body=[*results]) if len(results) == len(contents):
                return [_result(one) for one in results]
            case HttpAnswer(body={"ErrorCode": int() as code}) if code in _OF_THE_CALL and answer.status != 429:
                return [_refusal(code)] * len(contents)
            case _:
                return [verdict(answer, provider=self.name)] * len(contents)


def _calls(ready: Sequence[tuple[int, bytes]], *, most: int) -> Iterator[list[tuple[int, bytes]]]:
    call: list[tuple[int, bytes]] = []
    size = 0
    for number, content in ready:
        if call and (len(call) == most or size + len(content) > _CALL_BYTES):
            yield call
            call, size = [], 0
        call.append((number, content))
        size += len(content) + 1
    if call:
        yield call


def _result(result: Any) -> ProviderReceipt | MailroomError:
    match result:
        case {"ErrorCode": 0, "MessageID": str() as known} if known:
            return ProviderReceipt(Postmark.name, known)
        case {"ErrorCode": int() as code} if code > 0:
            return _refusal(code)
        case _:
            return OutcomeUnknown("the provider's response does not mention the mail", provider=Postmark.name)


def _refusal(code: int) -> MailroomError:
    facts = {"provider": Postmark.name, "code": code}
    if code in _ACCOUNT:
        return Paused("the provider has paused this account, or refuses its credentials", **facts)
    if code == _MAINTENANCE:
        return TransientError("the provider is under maintenance", **facts)
    if code == _RATE:
        return Throttled("the provider throttles sending", **facts)
    return Refused("the provider refused the mail", **facts)


def _payload(mail: Outgoing, stream: str) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "From": _party(mail.from_),
        "To": _party(mail.to),
        "Subject": mail.subject,
        "Headers": [{"Name": name, "Value": value} for name, value in tagged_headers(mail)],
        "Metadata": {TAG: mail.id},
        "MessageStream": stream,
        # Always set: otherwise the server's own setting applies.
        "TrackOpens": mail.tracking.opens,
        "TrackLinks": "HtmlOnly" if mail.tracking.clicks else "None",
    }
    if mail.text is not None:
        payload["TextBody"] = mail.text
    if mail.html is not None:
        payload["HtmlBody"] = mail.html
    if mail.reply_to is not None:
        payload["ReplyTo"] = _party(mail.reply_to)
    if mail.attachments:
        payload["Attachments"] = [_attachment(file) for file in mail.attachments]
    return payload


def _party(party: Party) -> str:
    address = on_the_wire(party.address)
    quoted = party.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>' if party.name else address


def _attachment(file: File) -> dict[str, str]:
    content = base64.b64encode(file.content).decode()
    described = {"Name": file.filename, "Content": content, "ContentType": file.content_type}
    return described if file.content_id is None else described | {"ContentID": f"cid:{file.content_id}"}
