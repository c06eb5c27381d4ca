"""Tools of all processes: logs, loops, cached values, the monitoring's reminders."""
