"""What tasks share: the retry policy of a step, and what became of runs."""
