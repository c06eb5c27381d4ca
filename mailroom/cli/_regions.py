"""The regions of data, for `mailroom status`."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from mailroom.adapters.aws import regions as aws_regions
from mailroom.adapters.prefect.blocks import providers_by_endpoint
from mailroom.domain.errors import ConfigurationError, MailroomError
from mailroom.settings import allowed_regions, load_settings, use_stack_environment


def regions_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the allowed regions and those in use; without a stack or an installation nothing is requested."""
    regions: dict[str, Any] = {"allowed": "", "resources": [], "queues": []}
    emulated = (
        any(part["name"] == "aws" and part["state"] == "ready" for part in facts["parts"]) and "inbound_bucket" in facts
    )
    try:
        regions["allowed"] = str(allowed_regions())
        if emulated or "MAILROOM_DATABASE_URL" in os.environ:
            use_stack_environment()
            settings = load_settings()
            allowed = allowed_regions(settings.regions_allowed)
            resources = aws_regions.by_name(settings, allowed)
            regions |= {"allowed": str(allowed), "resources": [asdict(one) for one in resources]}
            resources += aws_regions.by_asking(settings, allowed)
            regions["resources"] = [asdict(one) for one in resources]
            regions["queues"] = aws_regions.short_lived_queues(settings)
            resources += providers_by_endpoint(settings, allowed)
            regions["resources"] = [asdict(one) for one in resources]
    except (ConfigurationError, MailroomError) as error:
        regions["unknown"] = str(error)
    return regions


def region_lines(regions: dict[str, Any]) -> Iterator[str]:
    """Yield lines for people: the regions in use, what is outside, and queues with too short a retention."""
    used = sorted({one["region"] for one in regions["resources"]} - {"", "unknown"})
    yield f"{'regions':<12} {', '.join(used) or 'none found'}; allowed: {regions['allowed']}"
    for one in regions["resources"]:
        if one["fault"]:
            yield f"{'outside':<12} the {one['what']} {one['name']} {one['fault']}"
    for line in (*regions["queues"], *([regions["unknown"]] if "unknown" in regions else [])):
        yield f"{'':<12} {line}"
