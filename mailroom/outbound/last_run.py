"""The flow run that worked on a message last."""

from mailroom.ports.message_reader import ActivityLine


def run_of(activities: list[ActivityLine]) -> str | None:
    """Return the flow run that last worked on a message, or None where no activity of ours names one."""
    runs = (activity.facts.get("run_id") for activity in reversed(activities) if activity.provider is None)
    return next((str(run) for run in runs if run), None)
