"""The settings of seals over the archive's journals, a part of `mailroom.settings.Settings`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


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
        pattern="^([0-9]{12})?$",
        description="AWS account (12 digits) that owns the witness bucket; empty is the archive's.",
    )
    witness_region: str = Field(default="", description="AWS region of the witness bucket; empty is the archive's.")
