"""The settings: each from the environment (`MAILROOM_...`), else from the running embedded stack, else its default.

AWS clients are configured as boto3 documents (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SQS`, credentials, ...).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mailroom.archive_settings import ACCOUNT, ArchiveSettings, SealSettings
from mailroom.database_settings import DatabaseSettings
from mailroom.domain.delivery.return_paths import return_path_domain
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.operations.regions import EU_REGIONS, SETTING, Allowed, region_of
from mailroom.domain.outbound.providers import REGISTRY
from mailroom.domain.tenants import tenant_name
from mailroom.people_settings import PeopleSettings
from mailroom.setting_types import MailsAnHour, PublicPort, RecipientRetryHours, TimeZone

CHECKOUT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Return the folder that holds all of the embedded stack's data: `$MAILROOM_DATA`, else `.mailroom` in the checkout."""
    return Path(os.environ.get("MAILROOM_DATA") or CHECKOUT / ".mailroom").resolve()


def stack_file() -> Path:
    """Return the file in which a running stack lists its services (the object of `mailroom status --json`)."""
    return data_folder() / "stack.json"


class Settings(ArchiveSettings, SealSettings, PeopleSettings, DatabaseSettings):
    """One installation of Mailroom; each field is the environment variable `MAILROOM_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="MAILROOM_", extra="ignore")

    region: str = Field(
        description="AWS region of SES, its topics and its KMS key; also of everything that no other setting or name places elsewhere."
    )
    storage_region: str = Field(
        default="",
        description="AWS region of the inbound and files buckets, and of queues whose URL names none; empty is MAILROOM_REGION.",
    )
    regions_allowed: str = Field(
        default=" ".join(EU_REGIONS),
        description="AWS regions in which data may be, and hosts that the operator vouches for, with blanks or commas between.",
    )
    account_id: str = Field(
        description="AWS account that SES receives for, 12 digits. SES writes it into the encryption context of each e-mail."
    )
    storage_account: str = Field(
        default="",
        pattern=ACCOUNT,
        description="AWS account (12 digits) that owns the inbound and files buckets; empty is MAILROOM_ACCOUNT_ID.",
    )
    inbound_bucket: str = Field(description="Bucket to which SES writes received e-mails.")
    inbound_prefix: str = Field(default="in/", description="Key prefix of the default receipt rule.")
    inbound_prefixes: str = Field(
        default="",
        description="Key prefixes of further receipt rules, with blanks between. Nothing else in the bucket is read.",
    )
    inbound_queue_url: str = Field(description="SQS queue of received e-mail: S3 events and SES notifications.")
    inbound_topic_arn: str = Field(description="SNS topic of SES's Received notifications.")
    inbound_hook: bool = Field(
        default=False,
        description="Accept SES's notifications at /hooks/inbound, for a topic that cannot write to the queue.",
    )
    sender_hourly_limit: MailsAnHour = 1000
    time_zone: TimeZone = "UTC"
    kms_key_arn: str = Field(description="KMS key that wraps the data keys of received e-mails. No other key is used.")
    sender: str = Field(default="", description="From address of mail whose caller names none.")
    bounce_domain: Annotated[str, AfterValidator(return_path_domain)] = Field(
        default="",
        description="Domain that Mailroom receives and at which mails sent by SMTP have their return paths; empty: bounces by mail are not read.",
    )
    configuration_set: str = Field(
        default="",
        description="SES configuration set that publishes delivery events, written to the block `mailroom-provider-ses/default` when it is made.",
    )
    per_second: float = Field(
        default=10.0,
        gt=0,
        json_schema_extra={"unit": "mails a second"},
        description="Sending rate where a provider states none, written to the block `outbound` when it is made.",
    )
    sent_content_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        json_schema_extra={"unit": "days"},
        description="How long the content of a sent message is shown by its page and the API; 0 shows none.",
    )
    recipient_retry_hours: RecipientRetryHours = 96
    files_bucket: str = Field(
        default="", description="Bucket from which callers attach files, under `<tenant>/`; empty is none."
    )
    mailbox_queue_url: str = Field(
        description="SQS queue of outbound mail: orders of batches, and messages of plain producers."
    )
    mailbox_tenant: Annotated[str, AfterValidator(tenant_name)] = Field(
        default="default", description="Tenant of the messages that plain producers put on the mailbox queue."
    )
    tracking_queue_url: str = Field(description="SQS queue of SES's delivery events.")
    scanner: str = Field(default="", description="ClamAV's socket, unix:/path or tcp:host:port; empty scans nothing.")
    ses_hook_topics: str = Field(
        default="",
        description="ARNs of the SNS topics that may post SES events to /hooks/ses, with blanks between, each ARN or tenant=ARN.",
    )
    sns_old_signatures: bool = Field(
        default=False,
        description="Also accept posts to /hooks/ses and /hooks/inbound that SNS signed with SignatureVersion 1 (SHA-1).",
    )
    sendgrid_hook_keys: str = Field(
        default="", description="Public keys of SendGrid's Event Webhook, with blanks between, each KEY or tenant=KEY."
    )
    postmark_hook_users: SecretStr = Field(
        default=SecretStr(""),
        description="Credentials of Postmark's webhooks, with blanks between, each user:password or tenant=user:password.",
    )
    provider_hooks: SecretStr = Field(
        default=SecretStr(""),
        description="Credentials of providers' calls to /hooks/PROVIDER, with blanks between: PROVIDER/CREDENTIAL or"
        " PROVIDER/tenant=CREDENTIAL.",
    )
    unsubscribe_key: SecretStr | None = Field(
        default=None,
        description="Key that signs our own links in mails (unsubscribe, opens, clicks), at least 16 bytes; unset makes no links.",
    )
    private_webhooks: bool = Field(
        default=False,
        description="Allow tenants' webhook endpoints on http, private addresses and any port; for a laptop only.",
    )
    webhook_ports: str = Field(
        default="443", description="Ports that tenants' webhook endpoints may have, with blanks or commas between."
    )
    public_url: str = Field(
        default="",
        pattern="^(https://.*)?$",
        description="https URL at which recipients reach the HTTP service, for links in mails; empty is MAILROOM_API_URL.",
    )
    public_port: PublicPort = 0
    behind_tls_proxy: bool = Field(
        default=False,
        description="States that a TLS proxy is in front of the HTTP service, which then may listen beyond loopback.",
    )
    prefect_api_url: str = Field(description="Prefect's API, ending in /api.")
    prefect_url: str = Field(description="Prefect's UI, for links.")

    @property
    def region_of_buckets(self) -> str:
        """The AWS region of the inbound and the files bucket."""
        return self.storage_region or self.region

    @property
    def region_of_archive(self) -> str:
        """The AWS region of the archive bucket."""
        return self.archive_region or self.region_of_buckets

    @property
    def owner_of_buckets(self) -> str:
        """The AWS account that owns the inbound and the files bucket."""
        return self.storage_account or self.account_id

    @property
    def owner_of_archive(self) -> str:
        """The AWS account that owns the archive bucket."""
        return self.archive_account or self.owner_of_buckets

    @property
    def region_of_copies(self) -> str:
        """The AWS region of the bucket of second copies."""
        return self.archive_copy_region or self.region_of_archive

    @property
    def owner_of_copies(self) -> str:
        """The AWS account that owns the bucket of second copies."""
        return self.archive_copy_account or self.owner_of_archive

    @property
    def region_of_witness(self) -> str:
        """The AWS region of the bucket of the witness."""
        return self.witness_region or self.region_of_archive

    @property
    def owner_of_witness(self) -> str:
        """The AWS account that owns the bucket of the witness."""
        return self.witness_account or self.owner_of_archive

    @property
    def mail_prefixes(self) -> tuple[str, ...]:
        """The key prefixes of all receipt rules."""
        return self.inbound_prefix, *self.inbound_prefixes.split()

    def region_of_queue(self, url: str) -> str:
        """Return the AWS region of a queue: its URL's, or that of the buckets if the URL has none."""
        return region_of(url) or self.region_of_buckets

    def region_named(self, arn: str) -> str:
        """Return the AWS region of a key or topic, from its ARN."""
        return region_of(arn) or self.region

    def hook_credentials(self) -> dict[str, str]:
        """Return the credentials of each provider that posts to /hooks/PROVIDER, separated by blanks.

        Raises:
            ConfigurationError: a word of `provider_hooks` names no such provider.
        """
        credentials = {row.name: _plain(getattr(self, row.hook_setting, "")).split() for row in REGISTRY if row.hook}
        for word in self.provider_hooks.get_secret_value().split():
            provider, _, credential = word.partition("/")
            if provider not in credentials or not credential:
                raise ConfigurationError(
                    "MAILROOM_PROVIDER_HOOKS has a word that does not begin with a provider and a slash; write "
                    + " or ".join(f"{name}/CREDENTIAL" for name in sorted(credentials))
                )
            credentials[provider].append(credential)
        return {name: " ".join(words) for name, words in credentials.items()}

    @property
    def webhook_targets(self) -> WebhookTargets:
        """Allowed targets of tenants' webhooks."""
        return WebhookTargets.read(self.webhook_ports, anywhere=self.private_webhooks)

    @property
    def link_url(self) -> str:
        """The https URL that links in mails begin with; empty without such a URL, or without a key that signs them."""
        url = self.public_url or self.api_url
        return url if url.startswith("https://") and self.unsubscribe_key else ""

    @property
    def tracking_url(self) -> str:
        """The URL that tracked links begin with, which may be http on a laptop; empty without a key that signs them."""
        return (self.public_url or self.api_url) if self.unsubscribe_key else ""

    @field_validator("webhook_ports")
    @classmethod
    def _are_ports(cls, ports: str) -> str:
        WebhookTargets.read(ports, anywhere=False)
        return ports

    def environment(self) -> dict[str, str]:
        """Return these settings as environment variables for a child process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {f"MAILROOM_{name.upper()}": _plain(value) for name, value in values.items() if value is not None}


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def allowed_regions(setting: str | None = None) -> Allowed:
    """Return where data may be: by `setting`, else the environment, else the default.

    Raises:
        ConfigurationError: the setting has words that are neither regions nor host names.
    """
    default = str(Settings.model_fields["regions_allowed"].default)
    words = os.environ.get(SETTING, default) if setting is None else setting
    try:
        return Allowed.read(words)
    except ValueError as fault:
        raise ConfigurationError(f"{SETTING}: {fault}") from None


class _FromEnvironmentFirst(Settings):
    """Settings in which the environment overrides the constructor's arguments."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, highest precedence first."""
        return env_settings, init_settings


def load_settings() -> Settings:
    """Return the settings: each from the environment, else from the embedded stack that runs here, else its default.

    If the environment has every setting without a default, it names an installation of its own, and a stack that also runs
    in this checkout is ignored.

    Raises:
        ConfigurationError: settings are missing or invalid; the message names them.
    """
    values = {} if _is_complete(os.environ) else running_stack() or {}
    if not values and "MAILROOM_DATABASE_URL" not in os.environ:
        raise ConfigurationError(
            "no stack is running here and MAILROOM_DATABASE_URL is not set; start one with `mailroom up`"
        )
    try:
        settings = _FromEnvironmentFirst(**{name: values[name] for name in Settings.model_fields if name in values})
    except ValidationError as error:
        missing = ", ".join(_fault(one["loc"], one["type"], one["msg"]) for one in error.errors())
        raise ConfigurationError(f"missing or unusable settings: {missing}") from None
    return Settings(**{name: getattr(settings, name) for name in Settings.model_fields})


def _fault(where: tuple[int | str, ...], kind: str, what: str) -> str:
    name = f"MAILROOM_{str(where[0]).upper()}"
    return f"{name} ({what.removeprefix('Value error, ')})" if kind == "value_error" else name


def load_archive_account() -> str:
    """Return the AWS account that owns the archive bucket, for a block saved before that was a field.

    Raises:
        ConfigurationError: the settings of this process do not have it either.
    """
    try:
        return load_settings().owner_of_archive
    except ConfigurationError:
        raise ConfigurationError(
            "the block archive does not name the AWS account that owns its bucket; run `python -m deployments.ensure`"
        ) from None


def load_inbound_prefixes() -> list[str]:
    """Return the key prefixes of further receipt rules, for a block saved before that was a field; none if not configured."""
    try:
        return load_settings().inbound_prefixes.split()
    except ConfigurationError:
        return []


def load_database_url() -> str:
    """Return the URL of Mailroom's database, from the environment, else from the running stack.

    Raises:
        ConfigurationError: neither has one.
    """
    url = os.environ.get("MAILROOM_DATABASE_URL", (running_stack() or {}).get("database_url"))
    if not url:
        raise ConfigurationError(
            "MAILROOM_DATABASE_URL is empty, or not set and no stack is running here; set it, or run `mailroom up`"
        )
    return str(url)


def load_owner_url() -> str:
    """Return the URL of Mailroom's database for the owner of its tables: MAILROOM_DATABASE_OWNER_URL, else as `load_database_url`."""
    url, stack = load_database_url(), running_stack() or {}
    of_stack = stack.get("database_owner_url") if url == stack.get("database_url") else None
    return str(os.environ.get("MAILROOM_DATABASE_OWNER_URL") or of_stack or url)


def _is_complete(environment: Mapping[str, str]) -> bool:
    given = {name.upper() for name in environment}
    required = (name for name, field in Settings.model_fields.items() if field.is_required())
    return all(f"MAILROOM_{name.upper()}" in given for name in required)


def running_stack() -> dict[str, Any] | None:
    """Return the state of this data folder's embedded stack, or None if none was started."""
    try:
        stack: Any = json.loads(stack_file().read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return stack if isinstance(stack, dict) else None


def use_stack_environment() -> None:
    """Point boto3 of this process at the embedded stack's emulator, unless the environment names an endpoint.

    No process on a laptop may reach real AWS by accident: if any setting comes from the stack, or the database is the
    stack's, the stack's endpoint and credentials are used together. An endpoint in the environment (`AWS_ENDPOINT_URL`)
    has precedence, together with the environment's credentials and region.
    """
    stack = running_stack()
    if not stack or "aws_endpoint" not in stack or not _is_of(stack, os.environ):
        return
    os.environ.setdefault("AWS_DEFAULT_REGION", stack["region"])
    given = {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}
    if "AWS_ENDPOINT_URL" in os.environ:
        if "AWS_ACCESS_KEY_ID" not in os.environ and "AWS_PROFILE" not in os.environ:
            os.environ.update(given)
        return
    os.environ.update(given, AWS_ENDPOINT_URL=stack["aws_endpoint"])
    for name in ("AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        os.environ.pop(name, None)


def _is_of(stack: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Return whether this process works on `stack`: a setting comes from it, or the environment names its database."""
    return not _is_complete(environment) or environment.get("MAILROOM_DATABASE_URL") == stack.get("database_url")
