"""The bucket of uploaded files in memory."""

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.references import ObjectScope
from mailroom.outbound.request import Upload


class MemoryUploads:
    """The port `Uploads` over a dict from key to content, as the bucket `files`."""

    bucket = "files"

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def fetch(self, tenant: str, upload: Upload, *, most: int) -> bytes:
        """Return the content of a key under the tenant's prefix."""
        outside = ObjectScope(self.bucket, (f"{tenant}/",)).fault(upload.bucket, upload.key) is not None
        if outside or upload.version or upload.key not in self.contents:
            raise LookupError("no such object")
        content = self.contents[upload.key]
        if len(content) > most:
            raise Quarantined(Reason.TOO_LARGE, size=len(content))
        return content
