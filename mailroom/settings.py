"""Where everything is. Read from the environment (`MAILROOM_...`), or, on a laptop, from the running embedded stack.

AWS itself is configured the way boto3 documents it (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SQS`, credentials, ...);
nothing here repeats that.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.regions import EU_REGIONS, SETTING, Allowed, region_of

CHECKOUT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Return the folder that holds all of the embedded stack's data: `$MAILROOM_DATA`, else `.mailroom` in the checkout."""
    return Path(os.environ.get("MAILROOM_DATA") or CHECKOUT / ".mailroom").resolve()


def stack_file() -> Path:
    """Return the file in which a running stack says what runs where (the object of `mailroom status --json`)."""
    return data_folder() / "stack.json"


class Settings(BaseSettings):
    """One installation of Mailroom; each field is the environment variable `MAILROOM_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="MAILROOM_", extra="ignore")

    region: str = Field(description="AWS region of SES, and of all that no other setting or name places elsewhere.")
    storage_region: str = Field(
        default="",
        description="AWS region of the inbound and files buckets, and of queues whose URL says none; empty is region.",
    )
    archive_region: str = Field(default="", description="AWS region of the archive bucket; empty is storage_region.")
    regions_allowed: str = Field(
        default=" ".join(EU_REGIONS),
        description="AWS regions in which data may be, and hosts that the operator vouches for, with blanks between.",
    )
    account_id: str = Field(description="AWS account that SES receives for.")
    inbound_bucket: str = Field(description="Bucket that SES writes received e-mails to.")
    inbound_prefix: str = Field(default="in/", description="Key prefix of the default receipt rule.")
    inbound_queue_url: str = Field(description="SQS queue with S3 events and SES notifications.")
    inbound_topic_arn: str = Field(description="SNS topic of SES's Received notifications.")
    inbound_hook: bool = Field(
        default=False, description="Let the inbound topic post to /hooks/inbound, where it cannot write to the queue."
    )
    kms_key_arn: str = Field(description="KMS key that wraps the data keys of received e-mails.")
    archive_bucket: str = Field(description="Bucket of the archive, made with Object Lock.")
    archive_lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = Field(
        default="GOVERNANCE", description="COMPLIANCE in production."
    )
    archive_retention_days: int = Field(default=3650, ge=1, description="How long a deposit cannot be deleted.")
    sender: str = Field(default="", description="From address of mail whose caller names none.")
    configuration_set: str = Field(default="", description="SES configuration set that publishes the events.")
    per_second: float = Field(default=10.0, gt=0, description="Mails a second where a provider tells no rate.")
    files_bucket: str = Field(default="", description="Bucket where callers leave files to attach; empty is none.")
    mailbox_queue_url: str = Field(description="SQS queue of outbound mail.")
    mailbox_tenant: str = Field(default="default", description="Tenant of what plain producers put on that queue.")
    tracking_queue_url: str = Field(description="SQS queue of delivery events.")
    scanner: str = Field(default="", description="ClamAV's socket, unix:/path or tcp:host:port; empty scans nothing.")
    ses_hook_topics: str = Field(
        default="",
        description="SNS topics that may post SES events to /hooks/ses: ARNs with blanks between, each perhaps tenant=ARN.",
    )
    sendgrid_hook_keys: str = Field(
        default="", description="Public keys of SendGrid's Event Webhook, with blanks between, each perhaps tenant=KEY."
    )
    postmark_hook_users: SecretStr = Field(
        default=SecretStr(""),
        description="user:password of Postmark's webhooks, with blanks between, each perhaps tenant=user:password.",
    )
    unsubscribe_key: SecretStr | None = Field(
        default=None,
        description="Signs our own links in mails, at least 16 characters: unsubscribing, opens and clicks; none makes none.",
    )
    private_webhooks: bool = Field(
        default=False, description="Let tenants' endpoints be http and private addresses; for a laptop."
    )
    public_url: str = Field(
        default="",
        pattern="^(https://.*)?$",
        description="https URL at which recipients reach the HTTP service, for links in mails; empty is api_url.",
    )
    database_url: SecretStr = Field(description="Mailroom's PostgreSQL, postgresql://...")
    prefect_api_url: str = Field(description="Prefect's API, ending in /api.")
    prefect_url: str = Field(description="Prefect's UI, for links.")
    api_url: str = Field(description="Mailroom's own HTTP service, for links.")
    pages_open: bool = Field(default=False, description="Show the inbox pages without a key; only on loopback.")

    @property
    def region_of_buckets(self) -> str:
        """The AWS region of the inbound and the files bucket."""
        return self.storage_region or self.region

    @property
    def region_of_archive(self) -> str:
        """The AWS region of the archive bucket."""
        return self.archive_region or self.region_of_buckets

    def region_of_queue(self, url: str) -> str:
        """Return the AWS region of a queue: its URL's, and that of the buckets where the URL says none."""
        return region_of(url) or self.region_of_buckets

    def region_named(self, arn: str) -> str:
        """Return the AWS region of a key or topic: its ARN's."""
        return region_of(arn) or self.region

    @property
    def link_url(self) -> str:
        """The https URL that links in mails begin with; empty where there is none, or no key that signs them."""
        url = self.public_url or self.api_url
        return url if url.startswith("https://") and self.unsubscribe_key else ""

    @property
    def tracking_url(self) -> str:
        """The URL that tracked links begin with, which may be http on a laptop; empty where no key signs them."""
        return (self.public_url or self.api_url) if self.unsubscribe_key else ""

    def environment(self) -> dict[str, str]:
        """Return these settings as environment variables for a child process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()
        }
        return {f"MAILROOM_{name.upper()}": str(value) for name, value in plain.items() if value is not None}


def allowed_regions(setting: str | None = None) -> Allowed:
    """Return where data may be: as `setting` says, or the environment, or the default.

    Raises:
        ConfigurationError: the setting has words that are neither regions nor host names.
    """
    default = str(Settings.model_fields["regions_allowed"].default)
    words = os.environ.get(SETTING, default) if setting is None else setting
    try:
        return Allowed.read(words)
    except ValueError as fault:
        raise ConfigurationError(f"{SETTING}: {fault}") from None


def load_settings() -> Settings:
    """Return the settings from the environment or, where that has none, of the running embedded stack.

    Raises:
        ConfigurationError: neither says enough; the message names what is missing.
    """
    values: dict[str, Any] = {}
    if "MAILROOM_DATABASE_URL" not in os.environ:
        if not stack_file().exists():
            raise ConfigurationError(
                "no stack is running here and MAILROOM_DATABASE_URL is not set; start one with `mailroom up`"
            )
        values = json.loads(stack_file().read_text())
    try:
        return Settings(**{name: values[name] for name in Settings.model_fields if name in values})
    except ValidationError as error:
        missing = ", ".join(f"MAILROOM_{str(fault['loc'][0]).upper()}" for fault in error.errors())
        raise ConfigurationError(f"missing or unusable settings: {missing}") from None


def running_stack() -> dict[str, Any] | None:
    """Return what the embedded stack of this data folder says of itself, or None when none was started."""
    try:
        stack: dict[str, Any] = json.loads(stack_file().read_text())
    except (FileNotFoundError, ValueError):
        return None
    return stack


def use_stack_environment() -> None:
    """Point boto3 of this process at the embedded stack's emulator, where no AWS setting is in the environment.

    Nothing that runs on a laptop may reach real AWS by accident: the stack's own endpoint and credentials are used
    unless the environment already names an endpoint.
    """
    stack = running_stack()
    if stack and "MAILROOM_DATABASE_URL" not in os.environ:
        os.environ.setdefault("AWS_ENDPOINT_URL", stack["aws_endpoint"])
        os.environ.setdefault("AWS_DEFAULT_REGION", stack["region"])
        os.environ.update(AWS_ACCESS_KEY_ID="sandbox", AWS_SECRET_ACCESS_KEY="sandbox")  # noqa: S106 - not a secret
