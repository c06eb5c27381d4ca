"""Checks what `mailroom archive prove` wrote: `python -m mailroom.audit.proofs proof.json --key ID --roots roots.pem`.

With `seals`, `journals` and `tokens` this file is the verifier of an export: it needs `cryptography` and nothing else.
"""

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography import x509

from mailroom.audit.journals import Check, Entry, Status, is_consistent, root_of_inclusion
from mailroom.audit.seals import CLOCKS_DIFFER, PENDING, Seal, read_seal, stamps
from mailroom.audit.tokens import load_roots

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_proof(
    proof: Mapping[str, Any],
    *,
    now: datetime,
    keys: Collection[str] | None = None,
    roots: Sequence[x509.Certificate] | None = None,
) -> list[Check]:
    """Return the checks of a proof; a malformed one fails by `proof_form`.

    Args:
        keys: Ids of the keys that may have signed; None accepts any, and says so.
        roots: Certificates to which authorities must lead; None takes those in the proof, and says so.
    """
    try:
        if proof["format"] != "mailroom.proof":
            raise ValueError("no proof")
        subject = f"{proof['tenant']}/{proof['stream']}/{proof['entry']['seq']}"
        links = [
            (read_seal(one["seal"].encode()), one["token"].encode() if "token" in one else None)
            for one in proof["chain"]
        ]
        facts = proof["entry"]
        entry = Entry(int(facts["seq"]), int(facts["at"]), facts["payload"], bytes.fromhex(facts["prev"]), b"")
        paths = [[bytes.fromhex(one) for one in proof[name]] for name in ("inclusion", "consistency")]
        return _check(subject, proof, entry, links, paths, now, keys, roots)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
        return [Check("proof_form", Status.FAIL, "proof", "the file is no proof")]


def _check(
    subject: str,
    proof: Mapping[str, Any],
    entry: Entry,
    chain: Sequence[tuple[Seal, bytes | None]],
    paths: Sequence[Sequence[bytes]],
    now: datetime,
    keys: Collection[str] | None,
    roots: Sequence[x509.Certificate] | None,
) -> list[Check]:
    newest, sealed = chain[0][0], chain[-1][0]
    checks = list[Check]()

    def say(name: str, good: bool, detail: str) -> None:
        checks.append(Check(name, Status.PASS if good else Status.FAIL, subject, detail))

    root = root_of_inclusion(entry.computed, index=entry.seq - 1, size=sealed.size, path=paths[0])
    is_in = root is not None and root.hex() == sealed.root
    say("proof_inclusion", is_in, f"entry {entry.seq} of {sealed.size} in seal {sealed.number}")
    roots_of = bytes.fromhex(sealed.root), bytes.fromhex(newest.root)
    is_grown = is_consistent(*roots_of, sizes=(sealed.size, newest.size), path=paths[1])
    say("proof_consistency", is_grown, f"the journal of seal {sealed.number} begins that of seal {newest.number}")
    mine = (proof["tenant"], proof["stream"])
    are_signed = all(one.is_signed() and (one.tenant, one.stream) == mine for one, _ in chain)
    say("proof_signature", are_signed, f"{len(chain)} seals")
    if keys is None:
        say("proof_key", True, "not compared; give the id of the key with --key: " + sealed.key)
    else:
        say("proof_key", all(one.key in keys for one, _ in chain), f"signed by {sealed.key}")
    linked = all(above.links.get(below.number) == below.sha512 for (above, _), (below, _) in pairwise(chain))
    say("proof_link", linked, f"each seal names the next one, from {newest.number} to {sealed.number}")
    checks.append(_check_token(subject, entry, chain, now, roots))
    return checks


def _check_token(
    subject: str,
    entry: Entry,
    chain: Sequence[tuple[Seal, bytes | None]],
    now: datetime,
    roots: Sequence[x509.Certificate] | None,
) -> Check:
    """Check when the entry existed at the latest: by the token of its seal, else by the oldest one above it."""
    why = PENDING
    for _seal, what, stamp in reversed(list(stamps(chain, roots, now))):
        if stamp is not None and stamp.at >= _EPOCH + timedelta(microseconds=entry.at) - CLOCKS_DIFFER:
            trusted = "" if roots is not None else "; the authority is not compared: give its root with --roots"
            return Check("proof_token", Status.PASS, subject, f"existed at {stamp.at.isoformat()}{trusted}")
        if why == PENDING:
            why = what or "the token is older than the entry"
    return Check("proof_token", Status.NOT_YET_SEALED if why == PENDING else Status.FAIL, subject, why)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a proof in a file, print each check, and return 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m mailroom.audit.proofs", description=check_proof.__doc__)
    parser.add_argument("proof", type=Path)
    parser.add_argument("--key", action="append", metavar="ID", help="id of a key that may have signed")
    parser.add_argument("--roots", type=Path, metavar="PEM", help="certificates to which authorities must lead")
    given = parser.parse_args(arguments)
    try:
        proof = json.loads(given.proof.read_bytes())
        roots = load_roots(given.roots.read_bytes()) if given.roots else None
    except (OSError, ValueError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    checks = check_proof(proof, now=datetime.now(UTC), keys=given.key, roots=roots)
    for one in checks:
        print(f"{one.status:<14}  {one.name:<18}  {one.subject}  {one.detail}")
    return int(any(one.status is Status.FAIL for one in checks))


if __name__ == "__main__":
    sys.exit(main())
