"""Pictures that a mail's HTML contains as `data:` URIs: taken out before it is sanitised, and put back into the result.

They may be megabytes, and the sanitiser's cost and limits are about markup. What comes back is only a picture by its first
bytes, of a type that is shown, encoded again here; the rest is counted.
"""

import re
from base64 import b64encode
from secrets import token_hex

from mailroom.domain.mail.data_pictures import read_picture, replace_pictures

_MOST = 500


class EmbeddedPictures:
    """The `data:` pictures of one HTML: each at most `largest` bytes, all together at most `room`."""

    def __init__(self, *, largest: int, room: int) -> None:
        self.mark = f"data:image/{token_hex(16)}-"
        self._largest, self._room = largest, room
        self._uris: list[str] = []

    def take(self, html: str) -> str:
        """Return `html` with marks in place of the pictures that will be shown, and `data:image/-` in that of others."""
        return replace_pictures(html, self._marked)

    def put_back(self, html: str) -> str:
        """Return sanitised HTML with the pictures in place of their marks."""
        if not self._uris:
            return html
        return re.sub(re.escape(self.mark) + r"(\d+)", lambda match: self._uris[int(match[1])], html)

    def _marked(self, uri: str) -> str:
        read = read_picture(uri, most=min(self._largest, self._room)) if len(self._uris) < _MOST else None
        if read is None:
            return "data:image/-"
        kind, content = read
        self._room -= len(content)
        self._uris.append(f"data:{kind};base64,{b64encode(content).decode()}")
        return f"{self.mark}{len(self._uris) - 1}"
