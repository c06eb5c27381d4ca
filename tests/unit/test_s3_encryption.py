"""Objects of AWS's S3 Encryption Client: we read what it wrote, and it read what we wrote.

`tests/data/s3_encryption/vectors.json` was recorded with the client itself by the script beside it (`make oracle`): the
client pins an older `cryptography` than Mailroom runs with, so the two cannot share an environment.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.envelope_encryption import Binding, Forms, seal, unseal
from mailroom.domain.inbound.s3_encryption import Sealed, read_metadata
from mailroom.testing.keys import MemoryDataKeys

VECTORS = json.loads((Path(__file__).parents[1] / "data/s3_encryption/vectors.json").read_text())
OBJECTS = {one["name"]: one for one in VECTORS["objects"]}
OF_CLIENTS = [name for name in OBJECTS if not name.startswith("ses")]
BINDING = Binding(VECTORS["account"], VECTORS["message_id"], key=f"docs/{VECTORS['message_id']}")
ALL = Forms(clients=("docs/",), legacy=True)
MASTER_KEY = bytes(range(32))


def recorded_keys() -> MemoryDataKeys:
    """Return a key service with the data keys of the recorded objects, each for its wrapped key and context."""
    keys = MemoryDataKeys()
    for one in OBJECTS.values():
        output = read_metadata(one["metadata"])
        if output is not None:
            keys.keep(output.wrapped_key, output.context, base64.b64decode(one["data_key"]))
    return keys


def body_of(name: str) -> bytes:
    return base64.b64decode(OBJECTS[name]["body"])


def plain_of(name: str) -> bytes:
    return base64.b64decode(OBJECTS[name]["plain"])


def opened(
    name: str, *, body: bytes | None = None, binding: Binding = BINDING, forms: Forms = ALL, **changes: str
) -> bytes:
    metadata = OBJECTS[name]["metadata"] | {f"x-amz-{field.replace('_', '-')}": text for field, text in changes.items()}
    return unseal(body_of(name) if body is None else body, metadata, keys=recorded_keys(), binding=binding, forms=forms)


def refusal(name: str, **how: Any) -> tuple[Reason, object]:
    with pytest.raises(Quarantined) as caught:
        opened(name, **how)
    return caught.value.reason, caught.value.facts.get("step")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("name", OBJECTS)
def test_recorded_object_is_read(name: str) -> None:
    """Every form that the client writes or reads, the empty object of each too."""
    assert opened(name) == plain_of(name)


@pytest.mark.parametrize("name", [name for name in OBJECTS if name.startswith("ses")])
def test_what_the_door_writes_is_what_the_client_read(name: str) -> None:
    """The client read these objects when they were recorded; the SMTP door still writes them, byte for byte."""
    record = OBJECTS[name]
    output = read_metadata(record["metadata"])
    assert output is not None

    written = seal(
        plain_of(name),
        data_key=base64.b64decode(record["data_key"]),
        wrapped_key=output.wrapped_key,
        iv=output.iv,
        context=output.context,
    )

    assert written == (body_of(name), record["metadata"])


@pytest.mark.parametrize("name", OF_CLIENTS)
def test_objects_of_clients_are_read_only_where_they_may_come(name: str) -> None:
    """Such an object's context proves less than that of SES; they are refused where only SES may write."""
    assert refusal(name, forms=Forms(legacy=True)) == (Reason.NOT_DECRYPTABLE, "form")
    assert refusal(name, forms=replace(ALL, clients=("other/",))) == (Reason.NOT_DECRYPTABLE, "form")


def test_unauthenticated_object_is_read_only_where_legacy_is_allowed() -> None:
    """With CBC, write access to the bucket is enough to change a mail, and to read another bit by bit (padding oracle)."""
    assert refusal("v2-kms-cbc", forms=Forms(clients=("docs/",))) == (Reason.NOT_DECRYPTABLE, "legacy")


def test_old_wrap_without_ses_names_is_refused_where_only_ses_writes() -> None:
    """Such a key is bound to nothing: it could be of any object that the account ever made."""
    metadata = OBJECTS["ses"]["metadata"] | {"x-amz-matdesc": '{"kms_cmk_id": "arn"}'}

    with pytest.raises(Quarantined) as caught:
        unseal(body_of("ses"), metadata, keys=recorded_keys(), binding=BINDING)

    assert (caught.value.reason, caught.value.facts["step"]) == (Reason.NOT_BOUND, "message_id")


@pytest.mark.parametrize("name", ["v3", "v2-context"])
@pytest.mark.parametrize(
    ("context", "bound"),
    [
        ({"message_id": "{message_id}"}, True),
        ({}, True),
        ({"message_id": "another"}, False),
        ({"message_id": "{key}"}, False),
        ({"purpose": "mail"}, False),
    ],
)
def test_object_of_a_client_is_bound_by_what_its_context_must_have(
    name: str, context: dict[str, str], bound: bool
) -> None:
    """The installation says what its writers put there; an object moved to another key no longer fits."""
    forms = replace(ALL, context=context)

    if bound:
        assert opened(name, forms=forms) == plain_of(name)
    else:
        assert refusal(name, forms=forms) == (Reason.NOT_BOUND, "context")


def test_ses_names_in_a_client_context_must_be_right() -> None:
    """An object whose context names another message is refused, whatever the prefix allows."""
    metadata = OBJECTS["v3"]["metadata"]
    context = json.loads(metadata["x-amz-t"]) | {"aws:ses:message-id": "another"}

    assert refusal("v3", t=json.dumps(context)) == (Reason.NOT_BOUND, "message_id")


@pytest.mark.parametrize(("data_key", "message_id", "key", "commitment"), [
    ("80d90dc4cc7e77d8a6332efa44eba56230a7fe7b89af37d1e501ab2e07c0a163",
     "b8ea76bed24c7b85382a148cb9dcd1cfdfb765f55ded4dfa6e0c4c79",
     "6dd14f546cc006e639126e83f5d4d1b118576bb5df97f38c6fb3a1db87bbc338",
     "f89818bc0a346d3a3426b68e9509b6b2ae5fe1f904aa329fb73625db"),
    ("501afb8227d22e75e68010414b8abdaf3064c081e8e922dafef4992036394d60",
     "61a00b4981a5aacfd136c55cb726e32d2a547dc7600a7d4675c69127",
     "e14786a714748d1d2c3a4a6816dec56ddf1881bbeabb4f39420ffb9f63700b2f",
     "5c1e73e47f6fe3a70d6d094283aceaa76d2975feb829212d88f0afc1"),
])  # fmt: skip
def test_key_derivation_is_that_of_the_published_vectors(
    data_key: str, message_id: str, key: str, commitment: str
) -> None:
    """The two known answers that AWS publishes with its Ruby client."""
    body = AESGCM(bytes.fromhex(key)).encrypt(b"\x01" * 12, b"hello", b"\x00\x73")
    sealed = Sealed("115", "kms+context", b"w", bytes.fromhex(message_id), commitment=bytes.fromhex(commitment))

    assert sealed.open(body, bytes.fromhex(data_key)) == b"hello"


def test_weaker_name_of_the_wrap_gains_nothing() -> None:
    """Both wraps are one call to KMS with the whole context; the newer name only adds a check of ours."""
    assert opened("v2-context", wrap_alg="kms") == plain_of("v2-context")
    assert refusal("v2-context", wrap_alg="kms", forms=replace(ALL, legacy=False)) == (Reason.NOT_DECRYPTABLE, "legacy")


def test_other_data_key_breaks_the_commitment() -> None:
    """Without commitment one object could be made to open under two keys as two mails; this is refused before GCM."""
    output = read_metadata(OBJECTS["v3"]["metadata"])
    assert output is not None

    with pytest.raises(Quarantined) as caught:
        output.open(body_of("v3"), bytes(32))

    assert caught.value.facts["step"] == "commitment"


@pytest.mark.parametrize(
    ("name", "changes", "step"),
    [
        ("v3", {"c": "114"}, "suite"),
        ("v3", {"w": "02"}, "suite"),
        ("v3", {"d": b64(bytes(28))}, "commitment"),
        ("v3", {"d": b64(bytes(27))}, "metadata"),
        ("v3", {"i": b64(bytes(28))}, "commitment"),
        ("v3", {"i": "?"}, "metadata"),
        ("v3", {"t": '{"aws:x-amz-cek-alg": "AES/GCM/NoPadding"}'}, "suite"),
        ("v3", {"t": "[" * 100_000}, "metadata"),
        ("v3", {"key_v2": "AAAA"}, "format"),
        ("v2-context", {"cek_alg": "AES/CBC/PKCS5Padding", "iv": b64(bytes(16))}, "suite"),
        ("v2-context", {"tag_len": "96"}, "suite"),
        ("v2-context", {"iv": b64(bytes(12))}, "tag"),
        ("v2-kms-cbc", {"iv": b64(bytes(12))}, "metadata"),
        ("v2-kms-cbc", {"unencrypted_content_length": "3"}, "length"),
        ("v2-kms-cbc", {"unencrypted_content_length": "-3"}, "metadata"),
    ],
)  # fmt: skip
def test_changed_metadata_is_refused(name: str, changes: dict[str, str], step: str) -> None:
    """Metadata is not encrypted: write access to the bucket is enough to change it. The error is always the same."""
    assert refusal(name, **changes) == (Reason.NOT_DECRYPTABLE, step)


@pytest.mark.parametrize("name", ["v3", "v2-context", "ses"])
@given(data=st.data())
def test_no_changed_byte_is_ever_read(name: str, data: st.DataObject) -> None:
    """Of an authenticated form, a changed, cut or lengthened body gives nothing at all."""
    body = bytearray(body_of(name))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(body) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))

    for changed in (bytes(body), body_of(name)[:cut], body_of(name) + more):
        assert refusal(name, body=changed)[0] is Reason.NOT_DECRYPTABLE


_metadata_names = st.sampled_from(
    sorted({name for one in OBJECTS.values() for name in one["metadata"]} | {"x-amz-key"})
)
_metadata_texts = st.text(alphabet='aZ9+/={}[]":, é\x00', max_size=40) | st.sampled_from(
    [text for one in OBJECTS.values() for text in one["metadata"].values()]
)


@given(st.sampled_from(sorted(OBJECTS)), st.dictionaries(_metadata_names, _metadata_texts, max_size=4))
def test_any_metadata_is_read_or_refused(name: str, changes: dict[str, str]) -> None:
    """For any metadata, the result is the original mail, or one of the refusals: never another text or error."""
    metadata = OBJECTS[name]["metadata"] | changes
    try:
        answer: object = unseal(body_of(name), metadata, keys=recorded_keys(), binding=BINDING, forms=ALL)
    except Quarantined as error:
        answer = error.reason

    assert answer in (plain_of(name), Reason.NOT_DECRYPTABLE, Reason.NOT_BOUND)


@pytest.mark.parametrize(
    "metadata",
    [
        {"x-amz-c": "115", "x-amz-d": "AAAA", "x-amz-i": "AAAA"},
        {"x-amz-unencrypted-content-length": "7"},
        {"x-amz-crypto-instr-file": ""},
    ],
    ids=["v3", "v2", "the file itself"],
)
def test_key_in_an_instruction_file_is_never_used(metadata: dict[str, str]) -> None:
    """A file beside the object can be exchanged without touching the object; even where plain objects may come."""
    keys = recorded_keys()

    with pytest.raises(Quarantined) as caught:
        unseal(b"x" * 32, metadata, keys=keys, binding=BINDING, forms=Forms(plain=("",)))

    assert (caught.value.reason, caught.value.facts["step"]) == (Reason.NOT_DECRYPTABLE, "instruction_file")
    assert keys.asked == 0


@pytest.mark.parametrize(
    ("forms", "server_side", "read"),
    [
        (Forms(), False, False),
        (Forms(), True, False),
        (Forms(plain=("docs/",)), False, True),
        (Forms(plain=("other/",)), False, False),
        (Forms(sse_kms=("docs/",)), True, True),
        (Forms(sse_kms=("docs/",)), False, False),
        (Forms(sse_kms=("other/",)), True, False),
    ],
)
def test_objects_that_no_client_encrypted_are_read_where_they_may_come(
    forms: Forms, server_side: bool, read: bool
) -> None:
    """A plain object under the prefix of SES was not written by SES."""
    if read:
        assert (
            unseal(b"mail", {}, keys=recorded_keys(), binding=BINDING, forms=forms, server_side=server_side) == b"mail"
        )
        return

    with pytest.raises(Quarantined) as caught:
        unseal(b"mail", {}, keys=recorded_keys(), binding=BINDING, forms=forms, server_side=server_side)
    assert caught.value.reason is Reason.NOT_ENCRYPTED


def first_generation(plain: bytes, master_key: bytes = MASTER_KEY) -> tuple[bytes, dict[str, str]]:
    """Return an object as clients of the first generation wrote it: the data key under the master key in ECB mode."""

    def encrypted(text: bytes, key: bytes, mode: modes.Mode) -> bytes:
        padder, encryptor = PKCS7(128).padder(), Cipher(algorithms.AES(key), mode).encryptor()
        return encryptor.update(padder.update(text) + padder.finalize()) + encryptor.finalize()

    data_key, iv = bytes(range(100, 132)), bytes(range(16))
    wrapped = encrypted(data_key, master_key, modes.ECB())
    return encrypted(plain, data_key, modes.CBC(iv)), {
        "x-amz-key": b64(wrapped),
        "x-amz-iv": b64(iv),
        "x-amz-matdesc": "{}",
    }


def test_first_generation_is_read_with_its_master_key_where_legacy_is_allowed() -> None:
    """Archives of ten years ago are full of them; KMS is not asked."""
    body, metadata = first_generation(b"an old mail")
    keys, forms = recorded_keys(), replace(ALL, master_key=MASTER_KEY)

    assert unseal(body, metadata, keys=keys, binding=BINDING, forms=forms) == b"an old mail"
    assert keys.asked == 0


@pytest.mark.parametrize(
    ("forms", "step"),
    [
        (Forms(master_key=MASTER_KEY, legacy=True), "form"),
        (replace(ALL, legacy=False, master_key=MASTER_KEY), "legacy"),
        (ALL, "key"),
        (replace(ALL, master_key=bytes(32)), "key"),
    ],
    ids=["not here", "not allowed", "no master key", "another master key"],
)
def test_first_generation_is_refused_otherwise(forms: Forms, step: str) -> None:
    """Each of the three settings is needed."""
    body, metadata = first_generation(b"an old mail")

    with pytest.raises(Quarantined) as caught:
        unseal(body, metadata, keys=recorded_keys(), binding=BINDING, forms=forms)

    assert (caught.value.reason, caught.value.facts["step"]) == (Reason.NOT_DECRYPTABLE, step)


def test_secret_of_the_forms_is_in_no_text() -> None:
    """Settings appear in logs and tracebacks."""
    assert "master_key" not in repr(replace(ALL, master_key=MASTER_KEY))
