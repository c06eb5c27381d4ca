"""The port `Keys` on AWS KMS."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.crash_points import crash_point
from mailroom.domain.errors import Quarantined, Reason, TransientError

#: KMS's codes for a blob that does not belong to this key and context.
_FOREIGN = frozenset({"InvalidCiphertextException", "IncorrectKeyException", "InvalidKeyUsageException"})
#: Its codes for a key that cannot be used; the emulator also returns them for a blob of another key.
_UNUSABLE = frozenset({"AccessDeniedException", "NotFoundException", "DisabledException", "KMSInvalidStateException"})


class KmsKeys:
    """The port `Keys` on KMS; only `key_arn` is ever used, even if a blob names another key."""

    def __init__(self, kms: Any, *, key_arn: str) -> None:
        self._kms = kms
        self._key_arn = key_arn

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the data key.

        A key that cannot be used at all (a wrong policy, a disabled key) is an outage, which affects every mail; only if
        the key works and refuses this blob a second time is the blob itself at fault.
        """
        crash_point("before", "unwrap")
        with translated("kms"):
            answer = self._decrypt(wrapped, dict(context))
        crash_point("after", "unwrap")
        if "Plaintext" not in answer:
            # botocore reads a truncated response as one without fields.
            raise TransientError("the response of KMS is incomplete", service="kms")
        return bytes(answer["Plaintext"])

    def _decrypt(self, wrapped: bytes, context: dict[str, str], *, again: bool = False) -> Any:
        try:
            return self._kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=context, KeyId=self._key_arn)
        except ClientError as error:
            code = error_code(error)
            if code in _UNUSABLE and not again:
                self.check(context)
                return self._decrypt(wrapped, context, again=True)
            if code in _UNUSABLE | _FOREIGN:
                raise Quarantined(Reason.NOT_DECRYPTABLE, step="key", code=code) from None
            raise

    def check(self, context: Mapping[str, str] | None = None) -> None:
        """Return if the key can unwrap now: KMS must get as far as refusing an invalid blob.

        The key's state is read too, if that is permitted: it is not documented whether KMS checks the blob or the key first.

        Raises:
            TransientError: the key is disabled, deleted or not permitted; a person must look.
        """
        with translated("kms"):
            try:
                state = self._state()
                if state != "Enabled":
                    raise TransientError("the KMS key cannot be used", service="kms", state=state)
                probe = {"CiphertextBlob": b"probe", "EncryptionContext": dict(context or {}), "KeyId": self._key_arn}
                self._kms.decrypt(**probe)
            except ClientError as error:
                if error_code(error) in _UNUSABLE:
                    raise TransientError("the KMS key cannot be used", service="kms", code=error_code(error)) from None
                if error_code(error) not in _FOREIGN:
                    raise

    def _state(self) -> str:
        """Return the key's state; without the permission to read it, `Enabled`, because decrypting will show it."""
        try:
            return str(self._kms.describe_key(KeyId=self._key_arn)["KeyMetadata"]["KeyState"])
        except ClientError:
            return "Enabled"

    def new_data_key(self, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return a new 256-bit data key and the same key wrapped."""
        with translated("kms"):
            answer = self._kms.generate_data_key(
                KeyId=self._key_arn, KeySpec="AES_256", EncryptionContext=dict(context)
            )
            return bytes(answer["Plaintext"]), bytes(answer["CiphertextBlob"])
