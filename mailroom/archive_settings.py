"""The settings of the archive, a part of `mailroom.settings.Settings`."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

#: The pattern of an AWS account, or none.
ACCOUNT = "^([0-9]{12})?$"


class ArchiveSettings(BaseSettings):
    """The archive (SAE): its buckets, its locks, and the AWS profiles of those who use it."""

    archive_region: str = Field(
        default="", description="AWS region of the archive bucket; empty is MAILROOM_STORAGE_REGION."
    )
    archive_account: str = Field(
        default="",
        pattern=ACCOUNT,
        description="AWS account (12 digits) that owns the archive bucket; empty is MAILROOM_STORAGE_ACCOUNT.",
    )
    archive_bucket: str = Field(
        description="Bucket of the archive (SAE), made with Object Lock and without a default retention."
    )
    archive_lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = Field(
        default="COMPLIANCE",
        description="Object Lock mode of deposits and manifests. COMPLIANCE: nobody can delete one before its date. The sandbox has "
        "GOVERNANCE.",
    )
    archive_retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        json_schema_extra={"unit": "days"},
        description="Days of the archive's rule `document`. `mailroom migrate` begins the rule with it, or with ten years; afterwards "
        "the rule counts, and a setting is only compared with it.",
    )
    archive_copy_bucket: str = Field(
        default="",
        description="Bucket of second copies, of another region or account, made as the archive bucket; empty is none.",
    )
    archive_copy_region: str = Field(
        default="", description="AWS region of the bucket of second copies; empty is the archive's."
    )
    archive_copy_account: str = Field(
        default="",
        pattern=ACCOUNT,
        description="AWS account (12 digits) that owns the bucket of second copies; empty is the archive's.",
    )
    archive_copy_profile: str = Field(
        default="", description="AWS profile that writes second copies; empty is the one of the process."
    )
    archive_auditor_profile: str = Field(
        default="", description="AWS profile that only reads the archive, for checks; empty is the one of the process."
    )
    archive_audit_mb: int = Field(
        default=10_000,
        ge=1,
        json_schema_extra={"unit": "MiB"},
        description="MiB of the archive that the flow `audit` reads again in each hourly run; it says when they are too few to read all "
        "within 30 days.",
    )
    archive_eliminator_profile: str = Field(
        default="",
        description="AWS profile that may delete versions whose lock has ended; empty is the one of the process.",
    )


class SealSettings(BaseSettings):
    """Who signs seals, who time-stamps them, and who has a copy of each."""

    seal_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key that signs seals (Ed25519): 32 bytes in base64, `openssl rand -base64 32`; empty seals nothing.",
    )
    seal_keys_before: str = Field(
        default="",
        description="Ids of the keys that signed seals earlier, with blanks between; a verification accepts them too.",
    )
    time_stamping: str = Field(
        default="",
        description="Time stamping authorities (RFC 3161) in the order in which they are asked, with blanks between, each "
        "ROOTS.pem=URL or ROOTS.pem=URL#POLICY; empty: seals have no tokens.",
    )
    witness_bucket: str = Field(
        default="", description="Bucket of another account that gets a copy of each seal; empty is none."
    )
    witness_account: str = Field(
        default="",
        pattern=ACCOUNT,
        description="AWS account (12 digits) that owns the witness bucket; empty is the archive's.",
    )
    witness_region: str = Field(default="", description="AWS region of the witness bucket; empty is the archive's.")
