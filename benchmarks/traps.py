"""Mails that cost a naive parser time or memory out of proportion to their size. Each is a function of the size in bytes.

    python -m benchmarks.traps [NAME ...]

prints, for each trap at the size limit of a mail, what a process spent on it at half and at full size: twice the size
may cost twice as much. The same traps are in the tests, where steps are counted instead of seconds.
"""

import base64
import struct
import subprocess
import sys
from collections.abc import Callable

from mailroom.domain.parsing import Limits

_MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
_TNEF = b"Content-Type: application/ms-tnef\r\n\r\n\x78\x9f\x3e\x22\x01\x00"
_SIGNED = b"Content-Type: application/pkcs7-mime\r\n\r\n" + bytes.fromhex(
    "308006092a864886f70d010702a080308002010131803000"
)
_MEMORY_MB = 512
_CPU_S = 10


def _filled(head: bytes, unit: bytes, tail: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: head + unit * (size // len(unit)) + tail


def _nested(size: int) -> bytes:
    level = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    return b"".join(level % (number, number) for number in range(size // 60)) + b"\r\ncore"


def _attribute(level: int, number: int, value: bytes) -> bytes:
    return struct.pack("<BII", level, number, len(value)) + value + bytes(2)


def _binary(number: int, value: bytes) -> bytes:
    found = struct.pack("<IHHII", 1, 0x102, number, 1, len(value)) + value + bytes(-len(value) % 4)
    return _attribute(1, 0x69003, found)


def _tnef_in_tnef(size: int) -> bytes:
    inner = b"\x78\x9f\x3e\x22\x01\x00" + _attribute(2, 0x69002, b"") + _attribute(2, 0x6800F, bytes(size))
    for _ in range(25):
        value = bytes(16) + inner
        found = struct.pack("<IHHII", 1, 0x0D, 0x3701, 1, len(value)) + value + bytes(-len(value) % 4)
        inner = b"\x78\x9f\x3e\x22\x01\x00" + _attribute(2, 0x69002, b"") + _attribute(2, 0x69005, found)
    return b"Content-Type: application/ms-tnef\r\n\r\n" + inner


def _rtf(kind: bytes, unit: bytes) -> Callable[[int], bytes]:
    def build(size: int) -> bytes:
        body = unit * (size // len(unit))
        return _TNEF + _binary(0x1009, struct.pack("<II4sI", len(body) + 12, 0xFFFFFF00, kind, 0) + body)

    return build


def _binhex_bomb(size: int) -> bytes:
    packed = base64.b64encode(b"\x05a.txt\0" + b"z\x90\xff" * (size // 4))
    letters = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
    table = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", letters)
    return b"\r\n(This file must be converted with BinHex 4.0)\r\n\r\n:" + packed.translate(table)


def _compound(size: int) -> bytes:
    head = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    struct.pack_into("<HH", head, 30, 9, 6)
    struct.pack_into("<I", head, 48, 1)
    struct.pack_into("<109I", head, 76, *range(109))
    in_circles = struct.pack("<128I", *[1] * 128) * (size // 512)
    return b"Content-Type: application/vnd.ms-outlook\r\n\r\n" + bytes(head) + in_circles


def _in_parts(trap: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A trap in each of 150 parts, which share the limits of one mail."""
    return lambda size: _MIXED + b"".join(b"--b\r\n" + trap(size // 150) + b"\r\n" for _ in range(150)) + b"--b--\r\n"


TRAPS: dict[str, Callable[[int], bytes]] = {
    "nested multiparts": _nested,
    "forwards in forwards": _filled(b"", b"Content-Type: message/rfc822\r\n\r\n"),
    "empty parts": _filled(_MIXED, b"--b\n\n"),
    "delimiters that are none": _filled(_MIXED, b"--bb\n"),
    "header fields": _filled(b"", b"X: y\r\n"),
    "blanks and odd lines among fields": _filled(
        b"Subject: x\r\nodd\r\n", b"odd: 1\r\n \r\nodd\r\n", b"MIME-Version: 1.0\r\n"
    ),
    "parts with blanks in their headers": _filled(_MIXED, b"--b\nX: y\n \nodd\n c\nContent-ID: <1>\n"),
    "reports with blanks": _filled(b"Content-Type: message/delivery-status\n\n", b"Action: x\n \n"),
    "one header": _filled(b"Subject: ", b"a "),
    "folded lines": _filled(b"Subject: a\n", b" b\n"),
    "lines that are no field": _filled(b"a: b\n", b"junk\na: b\n"),
    "encoded words": _filled(b"Subject: ", b"=?utf-8?Q?a?= "),
    "openings of encoded words": _filled(b"Subject: ", b"=?u?q?a "),
    "addresses": _filled(b"To: ", b"a@example.org, "),
    "comments that never close": _filled(b"To: ", b"("),
    "quotes that never close": _filled(b"To: ", b'"\\'),
    "parameters": _filled(b"Content-Type: text/plain", b"; a*0*=%41"),
    "8-bit names": _filled(_MIXED, b'--b\nContent-Type: image/png; name="' + b"\xe9" * 60_000 + b'"\n\nx\n'),
    "base64 padded in each line": _filled(b"Content-Transfer-Encoding: base64\n\n", b"AAA=\n"),
    "blanks after soft breaks": _filled(b"Content-Transfer-Encoding: quoted-printable\n\n", b"= "),
    "uuencode that begins": _filled(b"\n\n", b"begin 644 a\n"),
    "uuencode that ends": _filled(b"\n\nx\n", b"begin 644 a\n`\nend\n"),
    "yEnc of escapes": _filled(b"\n\n=ybegin line=128 size=5 name=a\n", b"=}"),
    "BinHex of run lengths": _binhex_bomb,
    "flowed lines": _filled(b"Content-Type: text/plain; format=flowed\n\n", b"a \n"),
    "flowed quotes": _filled(b"Content-Type: text/plain; format=flowed\n\n", b">"),
    "Japanese shifts": _filled(b"\n\n", b"\x1b$B"),
    "UTF-7 shifts": _filled(b"Content-Type: text/plain; charset=utf-7\n\n", b"+"),
    "no charset at all": _filled(b"\n\n", b"\xff\xfe\x80"),
    "content ids": _filled(b"Content-Type: text/html\n\n", b"cid:a "),
    "TNEF in TNEF": _tnef_in_tnef,
    "TNEF properties": _filled(
        _TNEF + struct.pack("<BIII", 2, 0x69005, 0x7FFFFFFF, 0xFFFFFFFF), struct.pack("<HHI", 3, 1, 1)
    ),
    "compressed RTF": _rtf(b"LZFu", b"\0aaaaaaaa"),
    "words of RTF": _rtf(b"MELA", b"\\b0{}"),
    "pieces of a signed content": _filled(_SIGNED + bytes.fromhex("308006092a864886f70d010701a0802480"), b"\x04\x01a"),
    "values in signed values": _filled(_SIGNED, b"\x30\x80"),
    "recipients of a report": _filled(b"Content-Type: message/delivery-status\n\n", b"a: b\n\n"),
    "a calendar's entries": _filled(
        b"Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n", b"BEGIN:VEVENT\nATTENDEE:x\nEND:VEVENT\n"
    ),
    "sectors in circles": _compound,
}
TRAPS |= {
    f"{name}, in parts": _in_parts(TRAPS[name])
    for name in (
        "header fields", "folded lines", "base64 padded in each line", "BinHex of run lengths", "words of RTF",
        "recipients of a report", "a calendar's entries", "values in signed values", "sectors in circles",
    )
}  # fmt: skip

_ONE = """
import resource, sys, time
from benchmarks.traps import TRAPS
from mailroom.domain.parsing import parse_email
raw = TRAPS[sys.argv[1]](int(sys.argv[2]))
parse_email(b"")
open("/proc/self/clear_refs", "w").write("5")
status = lambda key: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
base, start = status("VmRSS"), time.process_time()
parse_email(raw)
print(time.process_time() - start, (status("VmHWM") - base) / 1024)
"""


def measure(name: str, size: int) -> tuple[float, float]:
    """Return CPU seconds and the peak of memory in MB above the raw mail, in a separate process."""
    done = subprocess.run([sys.executable, "-c", _ONE, name, str(size)], capture_output=True, text=True, check=True)
    cpu, memory = done.stdout.split()
    return float(cpu), float(memory)


def main(names: list[str]) -> None:
    """Print the table, and fail if a trap costs more than the limit of a mail."""
    full = Limits().raw_bytes - 100_000
    worst_cpu = worst_memory = 0.0
    print(f"{'trap at 40 MB':32} {'half: CPU s':>12} {'full: CPU s':>12} {'peak MB':>9}")
    for name in names or TRAPS:
        half, _ = measure(name, full // 2)
        cpu, memory = measure(name, full)
        worst_cpu, worst_memory = max(worst_cpu, cpu), max(worst_memory, memory)
        print(f"{name:32} {half:12.2f} {cpu:12.2f} {memory:9.0f}", flush=True)
    if worst_cpu > _CPU_S or worst_memory > _MEMORY_MB:
        sys.exit(f"a mail may cost {_CPU_S} s and {_MEMORY_MB} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
