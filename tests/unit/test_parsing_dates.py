"""Dates as people's programs write them: other clocks, other languages, other orders."""

import pytest

from mailroom.domain.parsing import parse_email


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Tue, 25 Nov 2025 24:00:00 +0100", "2025-11-26T00:00:00+01:00"),
        ("Wed, 31 Dec 2025 24:00 +0000", "2026-01-01T00:00:00+00:00"),
        ("Tue, 25 Nov 2025 24:00:01 +0100", None),
        ("Di., 25. November 2025 10:00:00 +0100", "2025-11-25T10:00:00+01:00"),
        ("Mittwoch, 5. März 2025 um 10:00 Uhr +0100", "2025-03-05T10:00:00+01:00"),
        ("28 Jänner 2025 10:00", "2025-01-28T10:00:00+00:00"),
        ("lundi 7 juillet 2025 à 10h30", "2025-07-07T10:30:00+00:00"),
        ("sam. 7 juin 2025 10:30:00 +0200", "2025-06-07T10:30:00+02:00"),
        ("1er février 2025 10:30:00 CET", "2025-02-01T10:30:00+01:00"),
        ("jeu., 7 août 2025 10:30:00", "2025-08-07T10:30:00+00:00"),
        ("jeu., 25 déc. 2025 10:00:00 +0100", "2025-12-25T10:00:00+01:00"),
        ("25 de noviembre de 2025 a las 10:00:00", "2025-11-25T10:00:00+00:00"),
        ("25.11.2025 10:00:00 +0100", "2025-11-25T10:00:00+01:00"),
        ("5.1.2025, 10:00 Uhr", "2025-01-05T10:00:00+00:00"),
        ("25.11.25 10:00", "2025-11-25T10:00:00+00:00"),
        ("25/11/2025 10:00:00", "2025-11-25T10:00:00+00:00"),
        ("11/25/2025 10:00:00", "2025-11-25T10:00:00+00:00"),
        ("25-11-2025 10:00", "2025-11-25T10:00:00+00:00"),
        ("05/06/2025 10:00:00", None),
        ("10.0.0.1 10:00", None),
        ("Tue, 25 Nov 2025 10:00:00 GMT+1", "2025-11-25T10:00:00+01:00"),
        ("Tue, 25 Nov 2025 10:00:00 +1", "2025-11-25T10:00:00+01:00"),
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_dates_of_other_clocks_and_languages_are_read(written: str, meant: str | None, charset: str) -> None:
    """A day that could be a month is not guessed at."""
    parsed = parse_email(b"Date: " + written.encode(charset) + b"\r\n\r\nx")

    assert (parsed.date.isoformat() if parsed.date else None) == meant
    assert parsed.defects == (() if meant else ("date_unreadable",))


def test_an_encoded_date_is_read() -> None:
    """Programs that encode every header encode this one too."""
    assert parse_email(b"Date: =?iso-8859-1?Q?5._M=E4rz_2025_10:00?=\r\n\r\nx").date is not None
