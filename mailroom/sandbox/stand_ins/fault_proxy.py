"""Proxies between a worker and its servers, which make calls fail from the nth on: once, several times, or until changed.

    worker ── FaultProxy ── moto (S3, SQS, KMS, SES), the Prefect server, PostgreSQL

HTTP calls are named by their operation (`PutObject`, `ReceiveMessage`, `POST set_state`), PostgreSQL's are COMMIT or any
`statement` before it. Each HTTP request has a separate connection upstream, so that no connections need to be matched.
"""

import asyncio
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

LOOPBACK = "127.0.0.1"

_LONGEST_HEAD = 256 * 1024
_CHUNK = 64 * 1024
_HANG_S = 1.5
_ENDLESS = 1 << 30

#: Faults before the call takes effect, with status and code of those that are responses.
_ANSWERS = {"slow down": (503, "SlowDown"), "error": (500, "InternalError"), "denied": (403, "AccessDenied")}
HTTP_FAULTS = ("hang", "reset", *_ANSWERS, "answer lost", "truncated")

#: Faults of a statement: not sent after a delay, not sent, or done with its response lost.
STATEMENT_FAULTS = ("hang", "reset", "answer lost")

#: Faults of COMMIT: these, or refused because the disk is full.
SQL_FAULTS = (*STATEMENT_FAULTS, "disk full")

_COMMIT, _ROLLBACK = b"Q\x00\x00\x00\x0bCOMMIT\x00", b"Q\x00\x00\x00\x0dROLLBACK\x00"
_DISK_FULL = b"SERROR\x00VERROR\x00C53100\x00Mdisk full\x00\x00"

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


@dataclass(slots=True)
class Fault:
    """A fault: calls of an operation fail from the nth on, `times` times. `fired` counts failures, `seen` calls."""

    how: str
    operation: str
    nth: int = 1
    times: int = _ENDLESS
    fired: int = 0
    seen: int = 0

    def strikes(self, operation: str) -> bool:
        """Count this call and return whether it must fail."""
        if operation != self.operation:
            return False
        self.seen += 1
        if self.seen < self.nth or self.fired >= self.times:
            return False
        self.fired += 1
        return True


@dataclass(slots=True)
class FaultProxy:
    """One proxy. `speaks` is s3, json (SQS, KMS), prefect, rest (SES v2) or postgres; `absent` refuses every call.

    `hides_locks` is S3 for a caller without s3:GetObjectRetention: no response has a lock, and reading one is denied.
    """

    speaks: str
    upstream_port: int
    port: int = 0
    fault: Fault | None = None
    absent: bool = False
    hides_locks: bool = False
    calls: Counter[str] = field(default_factory=Counter)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection; errors only end the connection."""
        with suppress(OSError, EOFError, asyncio.IncompleteReadError):
            if self.absent:
                _reset(writer)
            elif self.speaks == "postgres":
                await self._serve_postgres(reader, writer)
            else:
                await self._serve_http(reader, writer)
        writer.close()

    def _strike(self, operation: str) -> str | None:
        self.calls[operation] += 1
        fault = self.fault
        return fault.how if fault is not None and fault.strikes(operation) else None

    async def _serve_http(self, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        headers = {name.lower(): value for name, value in re.findall(rb"(?m)^([\w-]+): *(.*?)\r$", head)}
        if b"upgrade" in headers:
            await self._tunnel(head, reader, writer)
            return
        if headers.pop(b"expect", None):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        how = self._strike(_operation(self.speaks, head, headers))
        if self.hides_locks and re.match(rb"GET \S+[?&]retention", head):
            how = "denied"
        if how == "hang":
            await asyncio.sleep(_HANG_S)
        if how in ("hang", "reset") or self.absent:
            _reset(writer)
        elif how in _ANSWERS:
            writer.write(_refusal(self.speaks, *_ANSWERS[how]))
        else:
            answer = await self._forwarded(head, body)
            if self.hides_locks:
                answer = _without_locks(answer)
            if how == "answer lost":
                _reset(writer)
            else:
                writer.write(_cut(answer) if how == "truncated" else answer)
        await writer.drain()

    async def _forwarded(self, head: bytes, body: bytes) -> bytes:
        lines = [line for line in head.split(b"\r\n") if not re.match(rb"(?i)(connection|expect):", line)]
        reader, writer = await asyncio.open_connection(LOOPBACK, self.upstream_port)
        writer.write(b"\r\n".join([lines[0], b"Connection: close", *lines[1:]]) + body)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def _tunnel(self, head: bytes, reader: Reader, writer: Writer) -> None:
        upstream_reader, upstream = await asyncio.open_connection(LOOPBACK, self.upstream_port)
        upstream.write(head)
        await _both(_pipe(reader, upstream), _pipe(upstream_reader, writer))
        upstream.close()

    async def _serve_postgres(self, reader: Reader, writer: Writer) -> None:
        from_server, to_server = await asyncio.open_connection(LOOPBACK, self.upstream_port)
        refused = asyncio.Event()
        await _both(self._to_server(reader, to_server, writer, refused), _from_server(from_server, writer, refused))
        to_server.close()

    async def _to_server(self, reader: Reader, to_server: Writer, client: Writer, refused: asyncio.Event) -> None:
        while chunk := await reader.read(_CHUNK):
            operation = _sql_operation(chunk)
            how = self._strike(operation) if operation else None
            if how == "disk full":
                refused.set()
                chunk = _ROLLBACK
            if how == "hang":
                await asyncio.sleep(_HANG_S)
            if how in ("hang", "reset") or self.absent:
                _reset(client)
                return
            if how == "answer lost":
                _reset(client)
            to_server.write(chunk)
            await to_server.drain()
            if how == "answer lost":
                # PostgreSQL reads what came before the connection's end, and does it.
                await asyncio.sleep(0.2)
                return


class FaultProxies:
    """The proxies of a drill, served by one thread."""

    def __init__(self, **upstream: tuple[str, int]) -> None:
        """Take the protocol and the upstream port of each proxy, by name."""
        self.by_name = {name: FaultProxy(speaks, port) for name, (speaks, port) in upstream.items()}
        self._loop = asyncio.new_event_loop()
        # Connections that break are the purpose here; asyncio would log each.
        self._loop.set_exception_handler(lambda *_: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxies", daemon=True)

    def __getitem__(self, name: str) -> FaultProxy:
        return self.by_name[name]

    def __enter__(self) -> Self:
        self._thread.start()
        for proxy in self.by_name.values():
            starting = asyncio.start_server(proxy.serve, LOOPBACK, 0, limit=_LONGEST_HEAD)
            server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
            proxy.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _body(reader: Reader, headers: dict[bytes, bytes]) -> bytes:
    if b"content-length" in headers:
        return await reader.readexactly(int(headers[b"content-length"]))
    if b"transfer-encoding" not in headers:
        return b""
    whole = b""
    while not whole.endswith(b"\r\n0\r\n\r\n") and whole != b"0\r\n\r\n":
        whole += await reader.readuntil(b"\r\n")
    return whole


def _operation(speaks: str, head: bytes, headers: dict[bytes, bytes]) -> str:
    method, path = head.decode("latin-1").split(" ")[:2]
    if speaks == "json":
        return headers.get(b"x-amz-target", b"").decode().rpartition(".")[2]
    segments = [part for part in path.partition("?")[0].split("/") if part]
    if speaks == "s3":
        return f"{method.capitalize()}{'Object' if len(segments) > 1 else 'Bucket'}"
    return f"{method} {next((part for part in reversed(segments) if not re.fullmatch('[0-9a-f-]{36}', part)), '')}"


def _sql_operation(chunk: bytes) -> str:
    """Return a client's operation in PostgreSQL; statements with values are Parse or Bind, others are not counted."""
    if chunk == _COMMIT:
        return "COMMIT"
    return "statement" if chunk[:1] in (b"P", b"B") else ""


def _refusal(speaks: str, status: int, code: str) -> bytes:
    if speaks == "s3":
        kind, body = "application/xml", f"<Error><Code>{code}</Code><Message>drill</Message></Error>".encode()
    else:
        named: dict[str, Any] = {"__type": f"{code}Exception" if status == 403 else code, "message": "drill"}
        kind, body = "application/json", json.dumps(named | {"detail": "drill"}).encode()
    head = (
        f"HTTP/1.1 {status} Drill\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _without_locks(answer: bytes) -> bytes:
    """Return a response of S3 as for a caller without permission to read locks."""
    head, mark, body = answer.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^x-amz-object-lock-[^\r]*\r\n", b"", head + mark) + body


def _cut(answer: bytes) -> bytes:
    """Return the response cut in the middle of its body."""
    head, mark, body = answer.partition(b"\r\n\r\n")
    return head + mark + body[: len(body) // 2]


def _reset(writer: Writer) -> None:
    """Reset the connection: the client sees "connection reset by peer"."""
    raw: Any = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _from_server(from_server: Reader, client: Writer, refused: asyncio.Event) -> None:
    while chunk := await from_server.read(_CHUNK):
        if refused.is_set():
            # The response to the ROLLBACK in COMMIT's place: an error, and that the transaction is over.
            refused.clear()
            chunk = b"E" + struct.pack("!i", len(_DISK_FULL) + 4) + _DISK_FULL + b"Z\x00\x00\x00\x05I"
        client.write(chunk)
        await client.drain()


async def _pipe(reader: Reader, writer: Writer) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()


async def _both(*directions: Awaitable[None]) -> None:
    """Run both directions until either ends."""
    tasks = [asyncio.ensure_future(one) for one in directions]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
