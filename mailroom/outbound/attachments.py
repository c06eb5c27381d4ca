"""The files of a request: where their bytes are, how large they are, and that they may be sent."""

import hashlib
from typing import Protocol

from mailroom.domain.errors import Quarantined
from mailroom.domain.outbound import content_rules
from mailroom.domain.outbound.message import LIMITS, StoredAttachment
from mailroom.outbound.request import RequestAttachment, Upload
from mailroom.ports.archive import Archive


class Uploads(Protocol):
    """The bucket where callers leave files to be attached."""

    def fetch(self, tenant: str, upload: Upload, *, most: int) -> bytes:
        """Return the bytes.

        Raises:
            LookupError: this tenant has no such object there.
            Quarantined: `too_large`, over `most` bytes.
        """


class AttachmentResolver:
    """Makes enclosures of one tenant, and gathers the bytes that go with the batch, each once."""

    def __init__(self, tenant: str, *, archive: Archive, uploads: Uploads | None) -> None:
        self._tenant, self._archive, self._shelf = tenant, archive, uploads
        self._shelved: dict[Upload, bytes] = {}
        #: By SHA-256: what the outbox keeps with the batch.
        self.files: dict[str, bytes] = {}

    def enclosure(self, attached: RequestAttachment) -> StoredAttachment:
        """Return how the file is kept.

        Raises:
            ValueError: what is wrong, as a constant sentence.
        """
        filename = content_rules.filename(attached.filename)
        if sum(one is not None for one in (attached.content, attached.archive_id, attached.upload)) != 1:
            raise ValueError("a file has either its content, or an archive_id, or an s3 object")
        size, sha256 = self._archived(attached.archive_id) if attached.archive_id else self._kept(attached)
        content_id = attached.content_id
        return StoredAttachment(
            filename=filename,
            content_type=content_rules.media_type(attached.content_type, filename),
            size=size,
            sha256=sha256,
            content_id=content_rules.content_id(content_id) if content_id is not None else None,
            archive_id=attached.archive_id,
        )

    def _archived(self, archive_id: str) -> tuple[int, str]:
        deposit = self._archive.find(archive_id)
        if deposit is None or deposit.tenant != self._tenant:
            raise ValueError("the archive has no such deposit")
        return deposit.size, deposit.sha256

    def _kept(self, attached: RequestAttachment) -> tuple[int, str]:
        content = self._fetched(attached.upload) if attached.upload else attached.content
        if content is None or len(content) > LIMITS.mail:
            raise ValueError("a file is too large to be mailed")
        sha256 = hashlib.sha256(content).hexdigest()
        self.files[sha256] = content
        return len(content), sha256

    def _fetched(self, upload: Upload) -> bytes:
        # Read now: what is sent later is what was checked, whatever becomes of the object.
        if upload not in self._shelved:
            if self._shelf is None:
                raise ValueError("this installation has no bucket for files")
            try:
                self._shelved[upload] = self._shelf.fetch(self._tenant, upload, most=LIMITS.mail)
            except LookupError:
                raise ValueError("there is no such s3 object") from None
            except Quarantined:
                raise ValueError("a file is too large to be mailed") from None
        return self._shelved[upload]
