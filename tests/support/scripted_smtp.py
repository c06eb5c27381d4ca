"""An SMTP server that follows a script: a reply for each phase, one for each recipient, any code, any number of lines."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

_VERBS = {
    "EHLO": "ehlo",
    "HELO": "ehlo",
    "STARTTLS": "starttls",
    "AUTH": "auth",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
}
_GOOD = {
    "connect": "220 ready",
    "mail": "250 2.1.0 OK",
    "rcpt": "250 2.1.5 OK",
    "data": "354 go on",
    "after_dot": "250 2.0.0 OK",
}


@dataclass
class Script:
    """The replies by phase, lines parted by line ends; `recipients` by local part come before the one of `rcpt`.

    After a reply 421 the connection is closed. `heard` counts what was asked in each phase, `accepted` the mails taken.
    """

    replies: Mapping[str, str] = field(default_factory=dict)
    recipients: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ("PIPELINING",)
    heard: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0


@contextmanager
def scripted(script: Script) -> Iterator[Script]:
    """Serve the script on a loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        script.port = listening.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(listening, script), daemon=True)
        thread.start()
        try:
            yield script
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _serve(listening: socket.socket, script: Script) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        script.connections += 1
        threading.Thread(target=_converse, args=(connection, script), daemon=True).start()


def _converse(connection: socket.socket, script: Script) -> None:
    with connection, connection.makefile("rb") as lines:

        def say(reply: str) -> bool:
            """Send a reply, and return whether the conversation goes on."""
            code, _, first = reply.partition(" ")
            texts = f"{first}".split("\n")
            marked = [f"{code}{'-' if number < len(texts) else ' '}{text}\r\n" for number, text in enumerate(texts, 1)]
            connection.sendall("".join(marked).encode())
            return code != "421"

        try:
            if say(script.replies.get("connect", _GOOD["connect"])):
                _commands(script, lines, say)
        except OSError:
            return


def _commands(script: Script, lines: BinaryIO, say: Callable[[str], bool]) -> None:
    mail = recipient = False
    for line in lines:
        verb = line[:8].decode("latin-1").split()[0].upper() if line.split() else ""
        phase = _VERBS.get(verb, "")
        if verb == "QUIT":
            return
        if verb == "RSET" or not phase:
            mail = recipient = False
            say("250 OK")
            continue
        script.heard.append(phase)
        if phase == "ehlo" and "ehlo" not in script.replies:
            say("250 " + "\n".join(("scripted", *script.features)))
            continue
        reply = script.replies.get(phase, _GOOD.get(phase, "250 OK"))
        if phase == "rcpt":
            local = line.decode("latin-1").partition("<")[2].partition("@")[0]
            reply = script.recipients.get(local, reply) if mail else "503 5.5.1 need MAIL"
            recipient = reply.startswith("2")
        if phase == "mail":
            mail = reply.startswith("2")
        if phase == "data" and not recipient:
            reply = "503 5.5.1 no valid recipients"
        if not say(reply):
            return
        if reply.startswith("354"):
            content = _content(lines)
            after = script.replies.get("after_dot", _GOOD["after_dot"])
            if after.startswith("2"):
                script.accepted.append(content)
            mail = recipient = False
            if not say(after):
                return


def _content(lines: BinaryIO) -> str:
    content = []
    for line in lines:
        if line == b".\r\n":
            break
        content.append(line)
    return b"".join(content).decode("utf-8", "replace")
