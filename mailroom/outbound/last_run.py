"""The flow run that worked on a message last."""

from mailroom.ports.message_reader import ActivityLine


def run_of(activities: list[ActivityLine]) -> str | None:
    """Return the run that worked on a message last, where an activity of ours names it."""
    runs = (activity.facts.get("run_id") for activity in reversed(activities) if activity.provider is None)
    return next((str(run) for run in runs if run), None)
