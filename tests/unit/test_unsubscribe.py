"""Unsubscribe links: signed by us, and without a recipient's name."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.unsubscribe import sign, unsubscribe_url, verify

KEY, OTHER = b"k" * 32, b"o" * 32
MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"


def test_token_names_its_message_and_no_person() -> None:
    """It needs no table, and reveals nothing in a log."""
    token = sign(MESSAGE, key=KEY)

    assert verify(token, key=KEY) == MESSAGE
    assert len(token) == 43


def test_url_is_below_our_own() -> None:
    """Dispatch puts it into the header, so it must be valid with or without a slash at the setting's end."""
    assert unsubscribe_url("https://mail.acme.test/", MESSAGE, key=KEY) == (
        f"https://mail.acme.test/u/{sign(MESSAGE, key=KEY)}"
    )


@pytest.mark.parametrize("key", [b"", b"short", b"k" * 15])
def test_short_key_is_refused(key: bytes) -> None:
    """An empty setting must not make links that anyone could forge."""
    with pytest.raises(ValueError, match="16 bytes"):
        sign(MESSAGE, key=key)


def test_token_of_another_key_or_message_is_none_of_ours() -> None:
    """G71: guessed, forged with another key, or put together from two."""
    one, two = sign(MESSAGE, key=KEY), sign(str(uuid4()), key=KEY)

    assert verify(sign(MESSAGE, key=OTHER), key=KEY) is None
    assert verify(one[:22] + two[22:], key=KEY) is None


@given(st.integers(0, 42), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \x00é"))
def test_any_other_spelling_is_none_of_ours(at: int, letter: str) -> None:
    """Base64 ignores some bits at its end; a link has one spelling."""
    token = sign(MESSAGE, key=KEY)
    changed = token[:at] + letter + token[at + 1 :]

    assert verify(changed, key=KEY) == (MESSAGE if changed == token else None)


@pytest.mark.parametrize("token", ["", "x", "=" * 43, "é" * 43, "A" * 42, "A" * 44, "A" * 100_000])
def test_what_is_no_token_is_refused(token: str) -> None:
    """The route is public; an invalid token gives None and no error."""
    assert verify(token, key=KEY) is None
