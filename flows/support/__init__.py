"""What flows share and is no flow: events, reports, tags, results."""
