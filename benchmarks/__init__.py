"""Benchmarks of Mailroom's speed. `make bench` prints one table for each subject, all from one run."""
