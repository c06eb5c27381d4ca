"""Attachments of a request: resolves where their bytes are, their size, and whether they may be sent."""

import hashlib
from typing import Protocol

from mailroom.domain.errors import Quarantined
from mailroom.domain.outbound import content_rules
from mailroom.domain.outbound.media_types import media_type
from mailroom.domain.outbound.message import LIMITS, StoredAttachment
from mailroom.outbound.request import RequestAttachment, Upload
from mailroom.ports.archive import Archive


class Uploads(Protocol):
    """The bucket to which callers upload files to attach."""

    def fetch(self, tenant: str, upload: Upload, *, most: int) -> bytes:
        """Return the bytes.

        Raises:
            LookupError: this tenant has no such object there.
            Quarantined: `too_large`, over `most` bytes.
        """


class AttachmentResolver:
    """Resolves the attachments of one tenant's request, and collects the bytes to store with the batch, each once."""

    def __init__(self, tenant: str, *, archive: Archive, uploads: Uploads | None) -> None:
        self._tenant, self._archive, self._uploads = tenant, archive, uploads
        self._fetched_uploads: dict[Upload, bytes] = {}
        #: By SHA-256: what the outbox stores with the batch.
        self.files: dict[str, bytes] = {}

    def enclosure(self, attached: RequestAttachment) -> StoredAttachment:
        """Return the stored attachment.

        Raises:
            ValueError: the fault, as a constant sentence.
        """
        filename = content_rules.filename(attached.filename)
        if sum(one is not None for one in (attached.content, attached.archive_id, attached.upload)) != 1:
            raise ValueError("set exactly one of content, archive_id and s3")
        size, sha256 = self._archived(attached.archive_id) if attached.archive_id else self._kept(attached)
        content_id = attached.content_id
        return StoredAttachment(
            filename=filename,
            content_type=media_type(attached.content_type, filename),
            size=size,
            sha256=sha256,
            content_id=content_rules.content_id(content_id) if content_id is not None else None,
            archive_id=attached.archive_id,
        )

    def _archived(self, archive_id: str) -> tuple[int, str]:
        deposit = self._archive.find(archive_id)
        if deposit is None or deposit.tenant != self._tenant:
            raise ValueError("no deposit has this archive_id")
        return deposit.size, deposit.sha256

    def _kept(self, attached: RequestAttachment) -> tuple[int, str]:
        content = self._fetched(attached.upload) if attached.upload else attached.content
        if content is None or len(content) > LIMITS.mail:
            raise ValueError("file too large for a mail")
        sha256 = hashlib.sha256(content).hexdigest()
        self.files[sha256] = content
        return len(content), sha256

    def _fetched(self, upload: Upload) -> bytes:
        # Read now, so that what is sent later is what was checked, even if the object changes.
        if upload not in self._fetched_uploads:
            if self._uploads is None:
                raise ValueError("s3 files are not enabled on this installation: send content or archive_id")
            try:
                self._fetched_uploads[upload] = self._uploads.fetch(self._tenant, upload, most=LIMITS.mail)
            except LookupError:
                raise ValueError("s3 object not found") from None
            except Quarantined:
                raise ValueError("file too large for a mail") from None
        return self._fetched_uploads[upload]
