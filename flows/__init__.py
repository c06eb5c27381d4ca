"""Prefect flows: the order of steps, branching, names and tags of runs. One screen each."""

from flows.support import results as results
