"""The largest mail that SES accepts is fetched and decrypted in little more than twice its size."""

import json
import os
import subprocess
import sys
from pathlib import Path

from mailroom.domain.inbound.envelope_encryption import seal, ses_context

MAIL_BYTES = 40 * 1024 * 1024
MESSAGE_ID, ACCOUNT = "lhne4tbq09c867b1ko1f3ho4fqfidcatruo26781", "123456789012"

# A child process: this one's peak depends on the other tests.
_OPENING = """
import json, re, sys
from pathlib import Path
from botocore.response import StreamingBody
from mailroom.adapters.aws.s3 import S3MailStore
from mailroom.domain.inbound.envelope_encryption import Binding, unseal
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.testing.keys import MemoryDataKeys

folder, account, message_id = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

class S3:
    def get_object(self, **where):
        size, metadata = (folder / "mail").stat().st_size, json.loads((folder / "metadata").read_text())
        return {"ContentLength": size, "Metadata": metadata, "Body": StreamingBody((folder / "mail").open("rb"), size)}

keys = MemoryDataKeys()
keys.keep(b"w", json.loads((folder / "context").read_text()), bytes(32))

def peak():
    # Not ru_maxrss: Linux lets a process inherit its parent's.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

before = peak()
stored = S3MailStore(S3()).fetch(ObjectRef("mails", f"in/{message_id}"))
raw = unseal(stored.body, stored.metadata, keys=keys, binding=Binding(account, message_id))
print(json.dumps([len(raw), peak() - before]))
"""


def test_largest_mail_is_opened_in_less_than_three_times_its_size(tmp_path: Path) -> None:
    """A worker processes several at once; the memory of each decides how many."""
    context = ses_context(message_id=MESSAGE_ID, rule="inbound", account_id=ACCOUNT, key_id="arn")
    body, metadata = seal(
        os.urandom(MAIL_BYTES), data_key=bytes(32), wrapped_key=b"w", iv=os.urandom(12), context=context
    )
    (tmp_path / "mail").write_bytes(body)
    (tmp_path / "metadata").write_text(json.dumps(metadata))
    (tmp_path / "context").write_text(json.dumps(context))

    ended = subprocess.run(
        [sys.executable, "-c", _OPENING, str(tmp_path), ACCOUNT, MESSAGE_ID],
        capture_output=True,
        text=True,
        check=True,
    )

    size, taken = json.loads(ended.stdout)
    assert size == MAIL_BYTES
    assert taken < 3 * MAIL_BYTES
