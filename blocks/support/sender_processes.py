"""Providers whose calls are made in processes of their own, by the setting `MAILROOM_SENDER_PROCESSES`."""

from blocks.provider import Provider
from mailroom.adapters.providers.processes import ProviderProcesses
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.provider import MailProvider
from mailroom.settings import load_settings


def with_processes(block: Provider) -> MailProvider:
    """Return the block's provider; its calls are made in processes while many mails are sent, if the setting allows any."""
    provider, recipe, processes = block.open(), block.recipe(), _processes()
    return ProviderProcesses(provider, recipe, processes=processes) if recipe and processes else provider


def _processes() -> int:
    """Return the setting; none in a process without settings."""
    try:
        return load_settings().sender_processes
    except ConfigurationError:
        return 0
