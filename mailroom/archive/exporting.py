"""The export of an installation: written when something changed, and once a day; read back when the database was lost."""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

from mailroom.domain.archive.exports import (
    Row,
    Signature,
    first_line,
    key_of,
    last_line,
    read_first,
    read_last,
    read_row,
    row_line,
    statement,
)
from mailroom.ports.exports import ExportedRows, ExportStore, KeptExport, Signer

#: Up to this size an export is held in memory, above in a temporary file.
_IN_MEMORY = 4 * 1024 * 1024
#: The longest last line that is read.
_LAST_LINE = 4096


@dataclass(frozen=True, slots=True)
class Exporting:
    """The ports of exporting. Without a `signer` nothing is exported, because a rebuild would not use it."""

    rows: ExportedRows
    store: ExportStore
    signer: Signer | None


@dataclass(frozen=True, slots=True)
class Verified:
    """An export whose signature is the installation's."""

    kept: KeptExport
    made_at: datetime
    _body: IO[bytes]

    def rows(self) -> Iterator[Row]:
        """Yield its rows."""
        self._body.seek(0)
        next(self._body)
        before = next(self._body)
        for line in self._body:
            yield read_row(before)
            before = line


def export_installation(ports: Exporting, *, now: datetime) -> KeptExport | None:
    """Write an export if the rows differ from the last one's, or that is of another day; None if nothing is to be written."""
    if ports.signer is None:
        return None
    digest, content, count = hashlib.sha256(), hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:
        body.write(first := first_line(now, ports.rows.schema()))
        digest.update(first)
        for row in ports.rows.rows():
            body.write(line := row_line(row))
            digest.update(line)
            content.update(line)
            count += 1
        last = ports.rows.last()
        if last.get("rows") == content.hexdigest() and str(last.get("day")) == f"{now.astimezone(UTC):%Y-%m-%d}":
            return None
        sha256 = digest.hexdigest()
        signed = Signature(sha256, ports.signer.id, ports.signer.sign(statement(sha256)), ports.signer.public_key)
        body.write(end := last_line(signed))
        digest.update(end)
        body.seek(0)
        kept = ports.store.keep(key_of(now), body, sha256=digest.hexdigest(), now=now)
    ports.rows.record(kept, rows=content.hexdigest(), count=count)
    return kept


def newest_export(store: ExportStore, signer: Signer, body: IO[bytes]) -> Verified | None:
    """Copy the newest export that `signer` signed to `body`, and return it; others are passed over. None if there is none."""
    for kept in store.newest():
        body.seek(0)
        body.truncate()
        store.copy(kept, body)
        try:
            return _verified(kept, signer, body)
        except ValueError:
            continue
    return None


def _verified(kept: KeptExport, signer: Signer, body: IO[bytes]) -> Verified:
    """Return the export in `body`.

    Raises:
        ValueError: it is none, or this key did not sign it.
    """
    size = body.seek(0, 2)
    body.seek(start := max(0, size - _LAST_LINE))
    end = body.read().rstrip(b"\n").rpartition(b"\n")[2]
    signed = size - len(end) - 1
    if signed <= start and start:
        raise ValueError("no export")
    signature, digest, left = read_last(end), hashlib.sha256(), signed
    body.seek(0)
    while left > 0 and (piece := body.read(min(left, 1 << 18))):
        digest.update(piece)
        left -= len(piece)
    is_signed = signer.is_signed(statement(signature.sha256), signature.signature, signature.public_key)
    if digest.hexdigest() != signature.sha256 or not is_signed:
        raise ValueError("not signed by this installation")
    body.seek(0)
    return Verified(kept, read_first(next(body)), body)
