"""Providers for development: mails as files in a folder, or a line for each on the console. Nothing leaves the machine."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mailroom.adapters.providers.capability_checks import require
from mailroom.adapters.providers.no_outcome_query import NoOutcomeQuery
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt


def _raw(mail: Outgoing) -> bytes:
    domain = on_the_wire(mail.from_.address).rpartition("@")[2]
    return mime(mail, message_id=f"{mail.id}@{domain}", date=datetime.now(UTC))


class Folder:
    """The port `MailProvider` on a folder: each mail is `<our id>.eml`, written whole or not at all."""

    name = "file"
    capabilities = Capabilities(batch=100, utf8_addresses=True, asks=True)

    def __init__(self, folder: Path) -> None:
        self.identity = f"{self.name}/{folder}"
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Write each mail."""
        return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return an empty quota: a folder has no limit."""
        return ProviderQuota()

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt of the mail with our id if its file is there."""
        return ProviderReceipt(self.name, message_id) if self._path(message_id).exists() else None

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _send(self, mail: Outgoing) -> ProviderReceipt | MailroomError:
        try:
            require(mail, self.capabilities, provider=self.name)
            path, raw = self._path(mail.id), _raw(mail)
            partial = path.with_suffix(".part")
            partial.write_bytes(raw)
            partial.replace(path)
        except MailroomError as error:
            return error
        except OSError as error:
            return TransientError("the mail could not be written", provider=self.name, code=error.errno)
        return ProviderReceipt(self.name, mail.id)

    def _path(self, message_id: str) -> Path:
        return self._folder / f"{Path(message_id).name}.eml"


class Console(NoOutcomeQuery):
    """The port `MailProvider` on a stream: one line for each mail, with its id and size."""

    name = "console"
    capabilities = Capabilities(batch=100, utf8_addresses=True)

    def __init__(self, stream: TextIO | None = None) -> None:
        self.identity = self.name
        self._stream = stream or sys.stdout

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Print a line for each mail."""
        return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return an empty quota: a console has no limit."""
        return ProviderQuota()

    def close(self) -> None:
        """Do nothing: the stream is the caller's."""

    def _send(self, mail: Outgoing) -> ProviderReceipt | MailroomError:
        try:
            require(mail, self.capabilities, provider=self.name)
            print(f"{mail.id} {len(_raw(mail))} bytes to {mail.to.address}", file=self._stream, flush=True)
        except MailroomError as error:
            return error
        return ProviderReceipt(self.name, mail.id)
