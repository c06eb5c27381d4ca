"""The recipients of `mailroom send`: CSV as spreadsheets save it, and what is refused with the words that they show."""

from pathlib import Path

import pytest

from mailroom.cli._csv_file import SAVE_AS
from mailroom.cli._recipients_file import Row, recipients
from mailroom.domain.errors import ConfigurationError

CASES = Path(__file__).parents[1] / "data" / "batches"
PEOPLE = "to;Vorname;Betrag\r\nada@users.test;Jürgen;12,50\r\nbob@users.test;Zoë;7\r\n"


def rows(folder: Path, raw: bytes | str) -> list[Row]:
    file = folder / "people.csv"
    file.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return recipients(file)


def refused(folder: Path, raw: bytes | str) -> str:
    with pytest.raises(ConfigurationError) as error:
        rows(folder, raw)
    return str(error.value)


@pytest.mark.parametrize(
    ("raw", "noted"),
    [
        (PEOPLE.encode("utf-8-sig"), False),
        (PEOPLE.encode(), False),
        (PEOPLE.encode("cp1252"), True),
        (PEOPLE.replace(";", "\t").encode("utf-16"), False),
        (b"\xfe\xff" + PEOPLE.replace(";", "\t").encode("utf-16-be"), False),
        (("sep=;\r\n" + PEOPLE).encode("cp1252"), True),
        (("\ufeffSEP=;\r\n" + PEOPLE).encode(), False),
        (('"sep=;"\r\n' + PEOPLE).encode(), False),
        (PEOPLE.replace("\r\n", "\r").encode(), False),
        ((PEOPLE + ";;\r\n\r\n;;\r\n").encode(), False),
        (PEOPLE.replace("\r\n", ";;\r\n").encode(), False),
        (PEOPLE.replace(";Vorname", ";;Vorname").replace("test;", "test;;").encode(), False),
        (("\r\n\r\n" + PEOPLE).encode(), False),
        ('"to";"Vorname";"Betrag"\r\n"ada@users.test";"Jürgen";"12,50"\r\n"bob@users.test";"Zoë";"7"'.encode(), False),
    ],
    ids=["bom", "plain", "cp1252", "utf-16", "utf-16-be", "sep", "SEP-bom", "sep-quoted", "cr", "empty-rows", "empty-columns", "unnamed-column",
         "blank-lines", "quoted"],
)  # fmt: skip
def test_a_csv_is_read_as_spreadsheets_save_it(tmp_path: Path, raw: bytes, noted: bool) -> None:
    """Excel saves five kinds, by the country and by what the author clicked."""
    file, notes = tmp_path / "people.csv", list[str]()
    file.write_bytes(raw)

    found = [row.recipient for row in recipients(file, note=notes.append)]

    assert found == [
        {"to": "ada@users.test", "data": {"Vorname": "Jürgen", "Betrag": "12,50"}},
        {"to": "bob@users.test", "data": {"Vorname": "Zoë", "Betrag": "7"}},
    ]
    assert ["Windows-1252" in note and SAVE_AS in note for note in notes] == [True] * noted


@pytest.mark.parametrize(
    "text",
    ["Peter´s Müller", "O’Brien", "créée à l’été", "Crème brûlée 5 €", "Ægir Þórðarson", "½ Liter Öl", "¿Cómo? ¡Hola Íñigo!", "Åström & Søn",
     "n°5, 20 °C à Genève", "Straße 3–5", "Col·legi Català", "Ação “São” João", "jäätelö", "CAFÉ GRÖSSE"],
)  # fmt: skip
def test_western_languages_are_read_by_the_code_page_that_is_assumed(tmp_path: Path, text: str) -> None:
    """Their signs are those that the code page was made for."""
    [row] = rows(tmp_path, f"to;name\r\nada@users.test;{text}\r\n".encode("cp1252"))

    assert row.recipient["data"] == {"name": text}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Łukasz", "cp1250"), ("Timişoara", "cp1250"), ("Иван Петров", "cp1251"), ("Γιώργος", "cp1253"), ("Jürgen Möller", "mac_roman"),
     ("René", "mac_roman"), ("Märta", "cp850"), ("René", "cp850"), ("Björn", "cp850"), ("Özil", "cp850"), ("Jürgen", "cp437"), ("Ошибка", "koi8-r"), ("田中", "shift_jis"), ("Zoë", "utf-32")],
)  # fmt: skip
def test_another_code_page_is_refused_with_the_words_that_excel_shows(tmp_path: Path, text: str, encoding: str) -> None:
    """A name by the wrong code page would be printed on a thousand letters."""
    assert "CSV UTF-8 (Comma delimited) (*.csv)" in refused(
        tmp_path, f"to;name\r\nada@users.test;{text}\r\n".encode(encoding)
    )


def test_a_broken_utf_8_is_not_taken_for_another_encoding(tmp_path: Path) -> None:
    """One byte of another program in a file of UTF-8 would spoil every other name in it."""
    raw = "to;name\r\nada@users.test;Jürgen Müller\r\n".encode() + b"bob@users.test;Ren\xe9\r\n"

    assert "line 3: neither UTF-8 nor Windows-1252" in refused(tmp_path, raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"to,file\nada@users.test,a\x00b\n", "not a text file in UTF-8 or UTF-16"),
        (b"PK\x03\x04\x14\x00", "an Excel workbook, not a CSV file; save it in Excel by"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook"),
        ("to\tname\nada@users.test\tAda".encode("utf-16-le"), "not a text file in UTF-8 or UTF-16"),
        (b"\xff\xfet\x00o\x00x", "not UTF-16 throughout"),
        ("to;First Name;First-Name\nada@users.test;a;b", "row 1: each column needs a different name: `First Name` and `First-Name` are both"),
        ("to;name;name\nada@users.test;a;b", "row 1: each column needs a different name"),
        ("to;name\nada@users.test;a;b", "row 2: 3 cells, but the header has 2"),
        ("to;;name\nada@users.test;x;b", "row 2: a value in column B, which has no name in the header"),
        ("sep=;\r\nto;name\r\n;Bob", "row 2: `to` is missing"),
        ("to;name\nada@users.test", "row 2: 1 cells, but the header has 2"),
        ("to;name\n\n\n;Bob", "row 4: `to` is missing"),
        ("To;name\nada@users.test;Ada", "row 1: the header needs a column `to`"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_by_its_row(tmp_path: Path, raw: bytes | str, said: str) -> None:
    """As the spreadsheet counts rows: a line `sep=;` is none."""
    assert said in refused(tmp_path, raw)


@pytest.mark.parametrize("cell", ["", " ", "\xa0", "\u200b", '""', '"\n"', "\u3000 "])
def test_a_blank_cell_is_missing(tmp_path: Path, cell: str) -> None:
    """Issue E: `empty-name.csv` made "Dear ,"."""
    [row] = rows(tmp_path, f"to;name;reference\nada@users.test;{cell};{cell}")

    assert row.recipient == {"to": "ada@users.test", "data": {"name": None}}


def test_a_comma_in_a_header_is_not_its_separator(tmp_path: Path) -> None:
    """Excel quotes no comma where the semicolon separates."""
    [row] = rows(tmp_path, "to;Name, Vorname\nada@users.test;Lovelace, Ada")

    assert row.recipient["data"] == {"Name, Vorname": "Lovelace, Ada"}


def test_the_cases_of_issue_e_are_read() -> None:
    """The files as they came."""
    [empty], [spaced], [western] = (
        recipients(CASES / name) for name in ("empty-name.csv", "space-header.csv", "excel-de-cp1252.csv")
    )

    assert empty.recipient["data"] == {"name": None}
    assert spaced.recipient["data"] == {"First Name": "Ada", "e-mail 2": "x"}
    assert western.recipient["data"] == {"name": "Jürgen", "betrag": "12,50"}
