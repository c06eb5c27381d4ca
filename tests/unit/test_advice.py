"""What a person reads of one message: the names are filled in, and nothing else changes."""

import pytest

from mailroom.domain.outbound.advice import advice, explain
from mailroom.domain.outbound.reasons import OutboundReason

NAMES = {"message_id": "m-1", "batch_id": "b-1", "sender": "desk@acme.test"}


def test_commands_have_the_ids_and_the_domain_of_the_message() -> None:
    """To be pasted as they are."""
    sender, restored = advice("sender_refused", **NAMES), advice("restored", **NAMES)
    unknown = advice("outcome_unknown", **NAMES)

    assert sender is not None
    assert restored is not None
    assert unknown is not None
    assert "the sender's domain acme.test" in sender.sentence
    assert "`mailroom sender verify acme.test`" in sender.remedy
    assert "`mailroom batch resume b-1` or `mailroom batch cancel b-1`" in restored.remedy
    assert "`mailroom resend m-1 --may-duplicate`" in unknown.remedy


@pytest.mark.parametrize("reason", OutboundReason)
def test_no_reason_leaves_a_placeholder_and_each_keeps_its_words(reason: OutboundReason) -> None:
    """A new placeholder that is not filled would be shown as it is."""
    found = advice(reason.old, **NAMES)

    assert found is not None
    assert " ID" not in found.remedy + found.sentence
    assert "DOMAIN" not in found.remedy + found.sentence
    assert explain(reason, **NAMES)["reason_code"] == reason


@pytest.mark.parametrize("sender", ["", "nobody", "x@`id`", "x@a b", "x@\u202eevil.test", "x@" + "a" * 300])
def test_what_is_no_domain_is_not_filled_in(sender: str) -> None:
    """Rows may hold anything, and a command that is pasted into a shell is no place for it."""
    found = advice("sender_refused", **NAMES | {"sender": sender})

    assert found is not None
    if sender != "nobody":
        assert "`mailroom sender verify DOMAIN`" in found.remedy


def test_a_word_that_is_no_reason_stays_as_it_is() -> None:
    """Rows of another release."""
    assert explain("odd", **NAMES) == {"reason_code": "odd", "why": None, "what_to_do": None}
    assert explain(None, **NAMES) == {"reason_code": None, "why": None, "what_to_do": None}
    assert advice(None, **NAMES) is None
