"""The registry of providers: one row for each; every other list of providers is derived from it.

    name      ─> receipts, events, /hooks/NAME, `mailroom providers`
    adapter   ─> the table of what each can do
    block     ─> `from blocks import ...`, `prefect block register -m blocks`
    events    ─> the route of its webhooks, the reader of the worker
    stand_in  ─> the contract suite
    hosts     ─> where data may be

References are `module:attribute` or a module, loaded by the layer that they belong to: this module imports none of them.
docs/adding-a-provider.md describes each of these files.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """One provider.

    `name` identifies it in receipts, events and settings. `adapter` is its implementation of the port `MailProvider`, `block`
    the class that an operator fills in. `events` is the module that reads its webhooks; with `hook` the module's `Verifier`
    checks calls to /hooks/NAME, by the credentials in MAILROOM_PROVIDER_HOOKS and in `hook_setting`, an older setting for
    this provider alone. `stand_in` is the double in the sandbox. `sender_console` is where its console shows the DNS records of a
    sender domain, for a provider that Mailroom does not ask. A host in the EU has no certain region; a host in the US is
    allowed only if the operator names it.
    """

    name: str
    adapter: str
    block: str = ""
    events: str = ""
    hook: bool = False
    hook_setting: str = ""
    stand_in: str = ""
    sender_console: str = ""
    hosts_in_the_eu: tuple[str, ...] = ()
    hosts_in_the_us: tuple[str, ...] = ()


REGISTRY = (
    ProviderRow(
        name="ses",
        adapter="mailroom.adapters.providers.ses:Ses",
        block="blocks.provider_ses:SesProvider",
        # SNS posts them to a separate route, where topics are confirmed.
        events="mailroom.delivery.provider_events.ses",
        stand_in="mailroom.sandbox.stand_ins.ses:SesStandIn",
    ),
    ProviderRow(
        name="smtp",
        adapter="mailroom.adapters.providers.smtp:Smtp",
        block="blocks.provider_smtp:SmtpProvider",
    ),
    ProviderRow(
        name="sendgrid",
        adapter="mailroom.adapters.providers.sendgrid:SendGrid",
        block="blocks.provider_sendgrid:SendGridProvider",
        events="mailroom.delivery.provider_events.sendgrid",
        hook=True,
        hook_setting="sendgrid_hook_keys",
        stand_in="mailroom.sandbox.stand_ins.sendgrid:SendGridStandIn",
        sender_console="Settings > Sender Authentication",
        hosts_in_the_eu=("api.eu.sendgrid.com",),
        hosts_in_the_us=("api.sendgrid.com",),
    ),
    ProviderRow(
        name="postmark",
        adapter="mailroom.adapters.providers.postmark:Postmark",
        block="blocks.provider_postmark:PostmarkProvider",
        events="mailroom.delivery.provider_events.postmark",
        hook=True,
        hook_setting="postmark_hook_users",
        stand_in="mailroom.sandbox.stand_ins.postmark:PostmarkStandIn",
        sender_console="Sender Signatures > the domain > DNS Settings",
        hosts_in_the_us=("api.postmarkapp.com",),
    ),
    ProviderRow(
        name="file",
        adapter="mailroom.adapters.providers.folder:Folder",
        block="blocks.provider_folder:FolderProvider",
    ),
    ProviderRow(name="console", adapter="mailroom.adapters.providers.folder:Console"),
)
