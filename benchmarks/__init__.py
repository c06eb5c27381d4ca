"""What Mailroom's speed is measured with. `make bench` prints one table, all of it from one run."""
