"""The sender: one From with one address; everything else is a defect that page and API show."""

import pytest

from mailroom.domain.parsing import parse_email

#: Headers in which a reader or a mail program may see another sender than our parser does.
SEVERAL = [
    "a@x.example, b@y.example",
    "Team: a@x.example, b@y.example;",
    "Bank <attacker@evil.example>:<ceo@bank.example>",
    "Bank <attacker@evil.example> <ceo@bank.example>",
    "<attacker@evil.example> ceo@bank.example",
    "ceo@bank.example <attacker@evil.example>",
    '"ceo@bank.example" <attacker@evil.example>',
    '"Boss (ceo@bank.example)" <attacker@evil.example>',
    "'ceo@bank.example' via List <list@evil.example>",
    "=?utf-8?q?ceo=40bank=2Eexample?= <attacker@evil.example>",
    "=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?= <attacker@evil.example>",
    "=?utf-8?q?ceo=EF=BC=A0bank=EF=BC=8Eexample?= <attacker@evil.example>",
    "=?utf-8?q?ceo=40ba=E2=80=8Bnk=2Eexample?= <attacker@evil.example>",
    "ceo @ bank.example <attacker@evil.example>",
    "<ceo@bank.example,attacker@evil.example>",
    "<ceo@bank.example attacker@evil.example>",
    "<ceo@bank.example@evil.example>",
    "<ceo@bank.example:attacker@evil.example>",
    "attacker@evil.example (ceo@bank.example)",
    '"ceo@bank.example"@evil.example',
    "ceo\uff20bank.example <attacker@evil.example>",
    "a@x.example b@y.example",
    "a@x.example; b@y.example",
]
ONE = [
    "a@x.example",
    "Ann <a@x.example>",
    '"a@x.example" <a@x.example>',
    "'A@X.example' <a@x.example>",
    "a@x.example <a@x.example>",
    '"Lovelace, Ada" <a@x.example>',
    '"john doe"@x.example',
    "<@relay.example:a@x.example>",
    "<mailto:a@x.example>",
    "Team@Work <a@x.example>",
    "Ann @ Home <a@x.example>",
    "a@x.example (Ann)",
    "@ann <a@x.example>",
    "o'brien@x.example <o'brien@x.example>",
    "MAILER-DAEMON@x.example (Mail Delivery System)",
    "Ann via docs <a@x.example>",
    "undisclosed:;",
    "Ann",
    "",
]


def defects(*senders: str) -> tuple[str, ...]:
    head = "".join(f"From: {value}\r\n" for value in senders)
    return parse_email(f"{head}Subject: x\r\n\r\nx".encode()).defects


@pytest.mark.parametrize("written", SEVERAL)
def test_two_addresses_in_one_from_are_a_defect(written: str) -> None:
    """Most mail programs show the name alone, and differ in which of two addresses they take."""
    assert "sender_ambiguous" in defects(written)


@pytest.mark.parametrize("written", ONE)
def test_one_address_is_none(written: str) -> None:
    """A mark that half of all mails have would be ignored."""
    assert "sender_ambiguous" not in defects(written)


def test_two_froms_are_always_a_defect() -> None:
    """A filter reads the first and a program the last."""
    assert "sender_ambiguous" in defects("a@x.example", "b@y.example")
    assert "sender_ambiguous" in defects("a@x.example", "Ann")


def test_recipients_may_be_several() -> None:
    """To and Cc are lists; only From is one person's."""
    raw = b"From: a@x.example\r\nTo: b@y.example, c@z.example <d@z.example>\r\n\r\nx"

    assert parse_email(raw).defects == ()


def test_endless_names_are_read_in_time() -> None:
    """Each at sign is looked at once, from the nearest letters."""
    assert "sender_ambiguous" in defects("ceo@" * 4_000 + "bank.example <a@x.example>")
