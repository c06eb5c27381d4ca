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
from mailroom.adapters.providers.http_post import HttpAnswer, Poster, retry_after_s, verdict
from mailroom.domain.errors import (
    MailroomError,
    OutcomeUnknown,
    RecipientUnavailable,
    Refused,
    SenderRefused,
    TransientError,
)
from mailroom.domain.mail.mime import TAG, tagged_headers
from mailroom.domain.outbound.answers import error_of
from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    AWAY,
    CONTENT,
    DAILY,
    NO_SUCH_RECIPIENT,
    ON_THE_PROVIDERS_LIST,
    SENDER,
    SLOWER,
    UNKNOWN,
    Answer,
    Question,
    Rule,
    decided,
)
from mailroom.domain.outbound.answers.http import HTTP
from mailroom.domain.outbound.answers.texts import bounded
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

API = "https://api.postmarkapp.com"
#: A call may have 50 MB, and each mail in it 10.
_CALL_BYTES = 50 * 10**6
#: Errors of one mail, or of one sender's: other calls are made.
_OF_ONE = (RecipientUnavailable, SenderRefused)
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
            answers = self._call([(content, _domain(mails[number])) for number, content in call])
            for (number, _), answer in zip(call, answers, strict=True):
                results[number] = answer
            if all(isinstance(answer, TransientError) and not isinstance(answer, _OF_ONE) for answer in answers):
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

    def _call(self, ready: Sequence[tuple[bytes, str]]) -> list[ProviderReceipt | MailroomError]:
        """Send these mails (content and domain of From) in one call."""
        try:
            answer = self._poster.post("/email/batch", b"[" + b",".join(content for content, _ in ready) + b"]")
        except MailroomError as error:
            return [error] * len(ready)
        if answer.status == 200 and isinstance(answer.body, list) and len(answer.body) == len(ready):
            return [_result(one, domain) for one, (_, domain) in zip(answer.body, ready, strict=True)]
        refusal = _error(answer.body, answer, ready[0][1])
        if len(ready) > 1 and isinstance(refusal, Refused | SenderRefused):
            # The call was refused as a whole for one of its mails: each half is tried, so that the others are sent.
            middle = len(ready) // 2
            return [*self._call(ready[:middle]), *self._call(ready[middle:])]
        return [refusal] * len(ready)


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


def _result(result: Any, domain: str) -> ProviderReceipt | MailroomError:
    match result:
        case {"ErrorCode": 0, "MessageID": str() as known} if known:
            return ProviderReceipt(Postmark.name, known)
        case {"ErrorCode": int() as code} if code > 0:
            return _error(result, HttpAnswer(200, {}, None), domain)
        case _:
            return OutcomeUnknown("the provider's response does not mention the mail", provider=Postmark.name)


def _error(body: Any, answer: HttpAnswer, domain: str) -> MailroomError:
    match body:
        case {"ErrorCode": int() as code} if code > 0:
            text, facts = str(body.get("Message", "")), {"provider": Postmark.name, "code": code}
        case _:
            code, text, facts = 0, "", {"provider": Postmark.name, "status": answer.status}
    found = classify_postmark(code, status=answer.status, text=text, after_s=retry_after_s(answer.headers))
    return error_of(found, sender_domain=domain, **facts)


def _domain(mail: Outgoing) -> str:
    return on_the_wire(mail.from_.address).rpartition("@")[2].lower()


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


# What its answers mean: by the `ErrorCode` in the body; in a batch each mail has its own under HTTP 200.

POSTMARK = (
    Rule(name="postmark_token", five=ACCOUNT, names="10", source="Postmark: bad or missing API token"),
    Rule(
        name="postmark_signature", five=SENDER, names="400 401", source="Postmark: no sender signature, not confirmed"
    ),
    Rule(
        name="postmark_pending",
        five=ACCOUNT,
        names="412 413",
        source="Postmark: the account is pending (own domain only), or may not send",
    ),
    Rule(name="postmark_credits", five=DAILY, names="405", source="Postmark: out of credits"),
    Rule(name="postmark_maintenance", five=AWAY, names="100", source="Postmark: maintenance, also under HTTP 503"),
    Rule(name="postmark_rate", five=SLOWER, names="429", source="Postmark: rate limit"),
    Rule(name="postmark_rate_status", five=SLOWER, codes="429", source="RFC 6585"),
    Rule(name="postmark_inactive", five=ON_THE_PROVIDERS_LIST, names="406", source="Postmark: inactive recipient"),
    Rule(name="postmark_attachment", five=CONTENT, names="411", source="Postmark: attachment type"),
    Rule(
        name="postmark_sender_field",
        five=SENDER,
        names="300",
        words=(r"'?\bfrom\b'? (address|field|header)", r"invalid '?from\b", r"'from'"),
        source="Postmark 300: the text names From",
    ),
    Rule(
        name="postmark_recipient_field",
        five=NO_SUCH_RECIPIENT,
        names="300",
        words=(
            r"'?\b(to|cc|bcc)\b'? (address|field|header)",
            r"invalid '?(to|cc|bcc)\b",
            r"'(to|cc|bcc)'",
            r"recipient",
        ),
        source="Postmark 300: the text names To",
    ),
    Rule(name="postmark_content", five=CONTENT, names="300", source="Postmark 300: body missing, header"),
    Rule(name="postmark_too_large", five=CONTENT, codes="413", source="RFC 9110"),
    # A code is an answer: the mail was not taken. Those left concern our request or the server's settings.
    Rule(
        name="postmark_settings",
        five=ACCOUNT,
        names="[1-9]*",
        source="Postmark 402, 403, 409, 410, 7xx, 11xx, 12xx: the same for all mails; a code that this release does not know",
    ),
    Rule(name="postmark_unknown", five=UNKNOWN, codes="500 503 408", source="nothing promises that it was not taken"),
    *HTTP,
)


def classify_postmark(error_code: int, *, status: int = 200, text: str = "", after_s: int | None = None) -> Answer:
    """Return what an answer means; `error_code` is 0 where the body has none, `text` its message."""
    names = (str(error_code),) if error_code > 0 else ()
    return decided(POSTMARK, Question(code=str(status), names=names, words=bounded(text).lower()), after_s=after_s)
