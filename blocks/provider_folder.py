"""The block of a folder that mails are written to, for development."""

from pathlib import Path

from pydantic import Field

from blocks.provider import Provider
from mailroom.adapters.providers.folder import Folder
from mailroom.ports.provider import MailProvider


class FolderProvider(Provider):
    """A folder that mails are written to, for development.

    Example:
        ```python
        from blocks import FolderProvider

        provider = FolderProvider.load("folder").open()
        ```
    """

    _block_type_name = "Mailroom provider: folder"
    _block_type_slug = "mailroom-provider-folder"
    _description = "Writes mails to files instead of sending them."

    folder: Path = Field(description="Folder for the files.")

    def open(self) -> MailProvider:
        """Return the folder; it is created if it is missing."""
        return Folder(self.folder)

    def endpoint(self) -> str:
        """Return "": a folder is on this machine."""
        return ""
