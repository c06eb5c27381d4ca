"""The step of the installation's export; it may be killed at any point and run again."""

from datetime import UTC, datetime

from mailroom.archive.exporting import Exporting, export_installation
from mailroom.ports.exports import KeptExport
from tasks.support.steps import blocking, step


@step("export")
async def export(ports: Exporting) -> KeptExport | None:
    """Write an export if something changed since the last one, or none is of this day."""
    return await blocking(export_installation, ports, now=datetime.now(UTC))
