"""The key service."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws import error_code, translated
from mailroom.crash import crash_point
from mailroom.domain.errors import Quarantined, Reason, TransientError

#: KMS's word for "this blob, key and context do not belong together" or "this key is not to be used".
_REFUSED = frozenset(
    {"InvalidCiphertextException", "IncorrectKeyException", "AccessDeniedException", "NotFoundException",
     "DisabledException", "InvalidKeyUsageException", "KMSInvalidStateException"}
)  # fmt: skip


class KmsKeys:
    """The port `Keys` on KMS; only `key_arn` is ever used, whatever a blob says."""

    def __init__(self, kms: Any, *, key_arn: str) -> None:
        self._kms = kms
        self._key_arn = key_arn

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the data key."""
        crash_point("before", "unwrap")
        with translated("kms"):
            try:
                answer = self._kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=dict(context), KeyId=self._key_arn)
            except ClientError as error:
                if error_code(error) in _REFUSED:
                    raise Quarantined(Reason.NOT_DECRYPTABLE, step="key", code=error_code(error)) from None
                raise
        crash_point("after", "unwrap")
        if "Plaintext" not in answer:
            # botocore reads an answer that was cut off as one without fields.
            raise TransientError("the answer of the key service is not whole", service="kms")
        return bytes(answer["Plaintext"])

    def new_data_key(self, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return a new 256-bit data key and the same key wrapped."""
        with translated("kms"):
            answer = self._kms.generate_data_key(
                KeyId=self._key_arn, KeySpec="AES_256", EncryptionContext=dict(context)
            )
            return bytes(answer["Plaintext"]), bytes(answer["CiphertextBlob"])
