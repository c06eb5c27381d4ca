"""What is read of a reply's text: all lines, lower case, without addresses, links and host names.

Names of mailboxes and hosts are the other side's and the sender's words: `<bob@daily-relay.example>: User unknown` is
about neither a quota nor a relay.
"""

import re

#: What is read of a long reply: its beginning and its end. IONOS has the limit in the last line.
_MOST = 4_000
#: The longest wait that a reply may ask for, in seconds.
_LONGEST_WAIT_S = 86_400
_LINE_STATUS = re.compile(r"^\s*#?\s*([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_MARKED_STATUS = re.compile(r"#\s?([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_LINK = re.compile(r"\b(?:https?://|www\.|mailto:)\S+", re.IGNORECASE)
_ADDRESS = re.compile(r"\S{1,320}@\S{1,320}")
# The last label is in one case: `STOREDRV.Submission` and `exceeded.Please` are no host names.
_HOST = re.compile(r"(?<![\w.-])\[?(?:[\w-]{1,63}\.){1,30}(?:[a-z]{2,24}|[A-Z]{2,24}|\d{1,3})\]?(?![\w-]|\.\w)")
_WAIT = re.compile(r"(?:again|retry|come back|wait|delayed?|gr[ea]ylisted)\D{0,30}?(\d{1,5}) ?(s\b|sec|min|h\b|hour)")
_UNITS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600}


def bounded(text: str) -> str:
    """Return the text, or the beginning and the end of a long one."""
    return text if len(text) <= 2 * _MOST else f"{text[:_MOST]}\n{text[-_MOST:]}"


def enhanced_status(text: str) -> str:
    """Return the first enhanced status code (RFC 3463) of a reply, such as `5.1.1`; qmail writes it as `(#5.1.1)`."""
    lines = bounded(text).splitlines()
    found = [_LINE_STATUS.match(line) for line in lines] + [_MARKED_STATUS.search(line) for line in lines]
    first = next((match for match in found if match), None)
    return ".".join(str(int(part)) for part in first.groups()) if first else ""


def plain_words(text: str) -> str:
    """Return the words of all lines as one line, lower case, without status codes, addresses, links and host names."""
    lines = (_LINE_STATUS.sub(" ", line) for line in bounded(text).splitlines())
    plain = _HOST.sub(" ", _ADDRESS.sub(" ", _LINK.sub(" ", " ".join(lines))))
    return " ".join(plain.lower().split())


def asked_wait_s(words: str) -> int | None:
    """Return the wait that a reply asks for, as in "try again in 300 seconds"; None if it names none."""
    found = _WAIT.search(words)
    return min(int(found[1]) * _UNITS[found[2]], _LONGEST_WAIT_S) if found else None
