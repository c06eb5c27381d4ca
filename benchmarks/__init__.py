"""What Mailroom's speed is measured with. `make bench` prints one table for each subject, all of it from one run."""
