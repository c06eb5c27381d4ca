"""Media types of attached files (RFC 2045 section 5.1, RFC 6838 section 4.2): the rule of the request and of the last check."""

import re
from mimetypes import guess_type

_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
#: RFC 6838 section 4.2.
_MEDIA_TYPE = re.compile(rf"{_RESTRICTED_NAME}/{_RESTRICTED_NAME}")
_WORD = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"
#: RFC 2045 section 5.1, in ASCII and on one line. Possessive: no text is tried twice.
_PARAMETER = re.compile(rf'[ \t]*+;[ \t]*+({_WORD})[ \t]*+=[ \t]*+({_WORD}|"(?:[ !#-\[\]-~]|\\[ -~])*+")[ \t]*+')
_MOST_PARAMETERS, _MOST_OF_PARAMETERS = 10, 500
_NO_FILES = ("multipart/", "message/partial", "message/external-body")


def media_type(written: str | None, name: str) -> str:
    """Return the media type of a file: the one written, or else the one that its name suggests."""
    if written is None:
        guess, packing = guess_type(name, strict=True)
        # A compressed file does not have the type of its inner name: `report.csv.gz` is no CSV.
        written = "application/octet-stream" if guess is None or packing is not None else guess
    kind, parameters = parse(written.strip().removesuffix(";"))
    if kind.startswith(_NO_FILES):
        raise ValueError("invalid media type for a file: attach it as application/octet-stream")
    return "".join([kind, *(f"; {attribute}={value}" for attribute, value in parameters.items())])


def parameter(written: str, name: str) -> str | None:
    """Return a parameter of a media type as `media_type` returned it, without quotes; None where it has none."""
    value = parse(written)[1].get(name)
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value and value.startswith('"') else value


def parse(written: str) -> tuple[str, dict[str, str]]:
    """Return a media type in small letters, and its parameters as they are written: the case of `method=REQUEST` counts.

    Raises:
        ValueError: it is none; the text is a constant sentence for people.
    """
    kind, semicolon, rest = written.partition(";")
    kind = kind.strip(" \t").lower()
    if not _MEDIA_TYPE.fullmatch(kind):
        raise ValueError(
            "invalid media type: write it like application/pdf or text/calendar; method=REQUEST, at most 127 characters on"
            " each side of the slash"
        )
    parameters: dict[str, str] = {}
    at = len(written) if not semicolon else written.index(";")
    if len(rest) > _MOST_OF_PARAMETERS:
        raise ValueError(f"media type too long: at most {_MOST_OF_PARAMETERS} characters of parameters")
    while at < len(written):
        found = _PARAMETER.match(written, at)
        # A literal encoded word (RFC 2047) would be decoded by mail programs.
        if found is None or "=?" in found[2]:
            raise ValueError("invalid parameter of a media type: write it like charset=utf-8, in ASCII")
        name, at = found[1].lower(), found.end()
        if name in parameters or len(parameters) == _MOST_PARAMETERS:
            raise ValueError(f"a media type may have {_MOST_PARAMETERS} parameters, each of them once")
        parameters[name] = found[2]
    return kind, parameters
