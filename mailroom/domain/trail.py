"""What the trail says that people and keys saw and did."""

from enum import StrEnum


class What(StrEnum):
    """Something that a person or a key saw or did; the words are stored."""

    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    LINK_ASKED = "link_asked"
    LINK_MADE = "link_made"
    ITEM_OPENED = "item_opened"
    HTML_SHOWN = "html_shown"
    SOURCE_SHOWN = "source_shown"
    FILE_DOWNLOADED = "file_downloaded"
    RAW_DOWNLOADED = "raw_downloaded"
    ZIP_DOWNLOADED = "zip_downloaded"
    SENT_MAIL_SHOWN = "sent_mail_shown"
    REPLAYED = "replayed"
    RESENT = "resent"
    CANCELLED = "cancelled"
    ADDRESS_ADDED = "address_added"
    ADDRESS_CHANGED = "address_changed"
    ADDRESS_REMOVED = "address_removed"
    KEY_ADDED = "key_added"
    KEY_REVOKED = "key_revoked"
    KEY_ROTATED = "key_rotated"
    PERSON_ADDED = "person_added"
    PERSON_REMOVED = "person_removed"
    ROLE_CHANGED = "role_changed"
    INBOXES_GIVEN = "inboxes_given"
    INBOXES_TAKEN = "inboxes_taken"

    @property
    def sentence(self) -> str:
        """Return it for people."""
        return _SENTENCES.get(self, self.replace("_", " "))


_SENTENCES = {
    What.LINK_ASKED: "asked for a sign-in link",
    What.LINK_MADE: "made a sign-in link",
    What.ITEM_OPENED: "opened an item",
    What.HTML_SHOWN: "read the HTML of an item",
    What.SOURCE_SHOWN: "read the headers of an item",
    What.FILE_DOWNLOADED: "downloaded a file",
    What.RAW_DOWNLOADED: "downloaded a raw e-mail",
    What.ZIP_DOWNLOADED: "downloaded all files of an item",
    What.SENT_MAIL_SHOWN: "read a sent mail",
    What.REPLAYED: "replayed a received e-mail",
    What.RESENT: "sent again",
    What.CANCELLED: "cancelled a batch",
    What.ADDRESS_ADDED: "added an address",
    What.ADDRESS_CHANGED: "changed an address",
    What.ADDRESS_REMOVED: "removed an address",
    What.KEY_ADDED: "added a key",
    What.KEY_REVOKED: "revoked a key",
    What.KEY_ROTATED: "rotated a key",
    What.PERSON_ADDED: "added a person",
    What.PERSON_REMOVED: "removed a person",
    What.ROLE_CHANGED: "changed the role of a person",
    What.INBOXES_GIVEN: "gave inboxes to a person",
    What.INBOXES_TAKEN: "took inboxes from a person",
}
