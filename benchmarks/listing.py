"""An archive of 100,000 deposits that nobody deposited: rows and journal by SQL, and a server that lists the objects.

Half of the deposits are raw e-mails, the others their attachments; each e-mail has its line in the ledger and its manifest.
There are no items: what verifies them reads no listing.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg

from mailroom.audit.archive_rows import microseconds
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.domain.archive.seals import Entry, first_prev, leaf_hash

COUNT = 100_000
TENANT, BUCKET = "acme", "archive"

_PAGE = 1000
_UNTIL = "2036-11-28T09:30:00+00:00"

_SEED = """
create temp table one as
select n, n / 2 mail, encode(sha256(n::text::bytea), 'hex') digest, encode(sha512(n::text::bytea), 'hex') digest2
from generate_series(0, %(most)s - 1) n;
create temp table mail as
select mail, md5('mail' || mail)::uuid id, 'in/' || mail key,
    'acme/aip/' || encode(sha256(convert_to('inbound/in/' || mail, 'UTF8')), 'hex') || '.json' manifest,
    array_agg(digest order by n) parts
from one group by mail;

insert into deposit (archive_id, tenant, sha256, sha512, size, bucket, key, version, lock_mode, retain_until, deposited_at, verified_at)
select 'acme/' || digest, 'acme', digest, digest2, 1000, 'archive', 'acme/' || left(digest, 2) || '/' || digest, 'v1', 'COMPLIANCE',
    %(until)s, now(), now()
from one;
insert into inbound_email (id, bucket, key, version, message_id, envelope, state, facts, attempts, archive_ids, tenants, received_at, closed_at)
select id, 'inbound', key, '', 'seeded-' || mail, '{"recipients": ["anna@acme.test"], "sender": "office@office.test"}', 'filed', '{}', 1,
    array(select 'acme/' || part from unnest(parts) part), '{acme}', now(), now()
from mail;
insert into archived_mail
select 'acme', id, manifest, 'v1', md5(manifest), 'document/1', now() from mail;
"""


def seed_deposits(owner_url: str) -> None:
    """Write the rows and the journal of `COUNT` deposits into a new database."""
    with psycopg.connect(owner_url) as connection:
        # The client inserts the values: several statements at once accept no server-side parameters.
        psycopg.ClientCursor(connection).execute(_SEED, {"most": COUNT, "until": _UNTIL})
        rows = connection.execute("select mail, id::text, manifest, parts from mail order by mail").fetchall()
    append_all(owner_url, TENANT, (payload for row in rows for payload in _payloads(*row)))
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def append_all(owner_url: str, tenant: str, payloads: Iterable[str]) -> None:
    """Write a new journal `life` with these entries, chained as PostgreSQL does; that would take an hour in one transaction."""
    now, hash_, seq = datetime.now(UTC), first_prev(tenant, "life"), 0
    with psycopg.connect(owner_url) as connection:
        with connection.cursor().copy("copy journal (tenant, stream, seq, at, payload, prev, hash) from stdin") as rows:
            for seq, payload in enumerate(payloads, start=1):
                entry = Entry(seq, microseconds(now), payload, hash_, b"")
                prev, hash_ = hash_, leaf_hash(entry)
                rows.write_row((tenant, "life", seq, now, payload, prev, hash_))
        head = "insert into journal_head (tenant, stream, seq, at, hash, is_clock_back) values (%s, 'life', %s, %s, %s, false)"
        connection.execute(head, [tenant, seq, now, hash_])


def deposit_payload(tenant: str, sha256: str, sha512: str) -> str:
    """Return the entry of a deposit."""
    lock = {"mode": "COMPLIANCE", "place": "first", "until": _UNTIL, "version": "v1"}
    facts = {"sha256": sha256, "sha512": sha512, "size": 1000, "rule": "document/1", **lock}
    return JournalEntry(tenant, Kind.DEPOSIT, f"{tenant}/{sha256}", facts).payload


def _payloads(mail: int, email_id: str, manifest: str, parts: list[str]) -> Iterator[str]:
    """Yield the entries of an e-mail."""
    for n, sha256 in enumerate(parts, start=2 * mail):
        yield deposit_payload(TENANT, sha256, hashlib.sha512(str(n).encode()).hexdigest())
    facts = {"key": manifest, "manifest": hashlib.md5(manifest.encode()).hexdigest(), "parts": parts}
    yield JournalEntry(TENANT, Kind.ARCHIVED, email_id, facts | {"rule": "document/1", "version": "v1"}).payload


def keys_of_deposits() -> list[str]:
    """Return the keys of their objects, and of the manifests, as S3 sorts them."""
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(COUNT)]
    names = [hashlib.sha256(f"inbound/in/{n}".encode()).hexdigest() for n in range((COUNT + 1) // 2)]
    deposits = [f"{TENANT}/{digest[:2]}/{digest}" for digest in digests]
    return sorted([*deposits, *(f"{TENANT}/aip/{name}.json" for name in names)])


def serve_listing(port: int) -> None:
    """Serve ListObjectVersions and HeadBucket for these objects, one version each, as S3 writes them."""
    keys = keys_of_deposits()

    class Listing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._respond(b"")

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            self._respond(_page(keys, asked.get("prefix", [""])[0], asked.get("key-marker", [""])[0]))

        def _respond(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Listing).serve_forever()


def _page(keys: list[str], prefix: str, after: str) -> bytes:
    """Return a page of the listing."""
    first = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    end = bisect_left(keys, prefix + "\U0010ffff")
    page = keys[first : min(first + _PAGE, end)]
    is_more = first + _PAGE < end
    versions = "".join(
        f"<Version><Key>{key}</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest><LastModified>2026-11-01T09:30:00.000Z"
        f"</LastModified><ETag>&quot;{key[-32:]}&quot;</ETag><Size>1000</Size><StorageClass>STANDARD</StorageClass></Version>"
        for key in page
    )
    next_ = f"<NextKeyMarker>{page[-1]}</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>" if is_more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><MaxKeys>{_PAGE}</MaxKeys><EncodingType>url</EncodingType>"
        f"<IsTruncated>{str(is_more).lower()}</IsTruncated>{next_}{versions}</ListVersionsResult>"
    ).encode()
