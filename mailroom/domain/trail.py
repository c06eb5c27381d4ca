"""What the trail says that people and keys saw and did."""

from enum import StrEnum


class About(StrEnum):
    """What an id in the trail is of."""

    ITEM = "item"
    MESSAGE = "message"
    BATCH = "batch"
    KEY = "key"
    WEBHOOK = "webhook"
    BREAKER = "breaker"


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
    FILE_SHOWN = "file_shown"
    ITEM_MARKED = "item_marked"
    REPLAYED = "replayed"
    MAILS_REPLAYED = "mails_replayed"
    MAILS_RELEASED = "mails_released"
    MESSAGE_RESENT = "message_resent"
    BATCH_RESENT = "batch_resent"
    BATCH_CHANGED = "batch_changed"
    BATCH_CANCELLED = "batch_cancelled"
    BATCH_RESUMED = "batch_resumed"
    SUPPRESSION_ADDED = "suppression_added"
    SUPPRESSION_REMOVED = "suppression_removed"
    QUOTA_CHANGED = "quota_changed"
    SENDER_ADDED = "sender_added"
    SENDER_REMOVED = "sender_removed"
    STREAM_CHANGED = "stream_changed"
    BREAKER_CLOSED = "breaker_closed"
    WEBHOOK_ADDED = "webhook_added"
    WEBHOOK_REMOVED = "webhook_removed"
    WEBHOOK_ENABLED = "webhook_enabled"
    WEBHOOK_REPLAYED = "webhook_replayed"
    ADDRESS_ADDED = "address_added"
    ADDRESS_CHANGED = "address_changed"
    ADDRESS_REMOVED = "address_removed"
    KEY_ADDED = "key_added"
    KEY_REVOKED = "key_revoked"
    KEY_ROTATED = "key_rotated"
    SETTINGS_CHOSEN = "settings_chosen"
    PERSON_ADDED = "person_added"
    PERSON_REMOVED = "person_removed"
    ROLE_CHANGED = "role_changed"
    INBOXES_GIVEN = "inboxes_given"
    INBOXES_TAKEN = "inboxes_taken"

    @property
    def is_look(self) -> bool:
        """Return whether something was seen; otherwise something was changed."""
        return self in _LOOKS

    @property
    def about(self) -> About | None:
        """Return what the entry's id is of, where that says whose thing it is."""
        if self in _OF_ITEMS or self is What.ITEM_MARKED:
            return About.ITEM
        word = self.partition("_")[0]
        return About.MESSAGE if self is What.SENT_MAIL_SHOWN else About(word) if word in set(About) else None

    @property
    def sentence(self) -> str:
        """Return it for people."""
        return _SENTENCES[self]


_OF_ITEMS = frozenset(
    {
        What.ITEM_OPENED,
        What.HTML_SHOWN,
        What.SOURCE_SHOWN,
        What.FILE_DOWNLOADED,
        What.FILE_SHOWN,
        What.RAW_DOWNLOADED,
        What.ZIP_DOWNLOADED,
    }
)
_LOOKS = _OF_ITEMS | {What.SENT_MAIL_SHOWN}
_SENTENCES = {
    What.SIGNED_IN: "signed in",
    What.SIGNED_OUT: "signed out",
    What.SIGNED_OUT_EVERYWHERE: "signed out everywhere",
    What.LINK_ASKED: "asked for a sign-in link",
    What.LINK_MADE: "made a sign-in link",
    What.ITEM_OPENED: "opened an item",
    What.HTML_SHOWN: "read the HTML of an item",
    What.SOURCE_SHOWN: "read the headers of an item",
    What.FILE_DOWNLOADED: "downloaded a file",
    What.FILE_SHOWN: "looked at a file",
    What.ITEM_MARKED: "marked an item as done, or as to do again",
    What.RAW_DOWNLOADED: "downloaded a raw e-mail",
    What.ZIP_DOWNLOADED: "downloaded all files of an item",
    What.SENT_MAIL_SHOWN: "read a sent mail",
    What.REPLAYED: "replayed a received e-mail",
    What.MAILS_REPLAYED: "replayed received e-mails",
    What.MAILS_RELEASED: "released received e-mails",
    What.MESSAGE_RESENT: "sent a message again",
    What.BATCH_RESENT: "sent a batch again",
    What.BATCH_CHANGED: "changed when a batch is sent",
    What.BATCH_CANCELLED: "cancelled a batch",
    What.BATCH_RESUMED: "resumed a batch",
    What.SUPPRESSION_ADDED: "added suppressions",
    What.SUPPRESSION_REMOVED: "removed a suppression",
    What.QUOTA_CHANGED: "changed a quota",
    What.SENDER_ADDED: "added a sender",
    What.SENDER_REMOVED: "removed a sender",
    What.STREAM_CHANGED: "changed a stream",
    What.BREAKER_CLOSED: "closed a breaker",
    What.WEBHOOK_ADDED: "added a webhook",
    What.WEBHOOK_REMOVED: "removed a webhook",
    What.WEBHOOK_ENABLED: "enabled a webhook",
    What.WEBHOOK_REPLAYED: "replayed a webhook",
    What.ADDRESS_ADDED: "added addresses",
    What.ADDRESS_CHANGED: "changed an address",
    What.ADDRESS_REMOVED: "removed an address",
    What.KEY_ADDED: "added a key",
    What.KEY_REVOKED: "revoked a key",
    What.KEY_ROTATED: "rotated a key",
    What.SETTINGS_CHOSEN: "chose a language and a time zone",
    What.PERSON_ADDED: "added a person",
    What.PERSON_REMOVED: "removed a person",
    What.ROLE_CHANGED: "changed the role of a person",
    What.INBOXES_GIVEN: "gave inboxes to a person",
    What.INBOXES_TAKEN: "took inboxes from a person",
}


def sentence(word: str) -> str:
    """Return a stored word for people, also one that a later release wrote."""
    return What(word).sentence if word in set(What) else word.replace("_", " ")
