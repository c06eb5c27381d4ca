"""What stands in for AWS and for mail providers, and for the faults of both."""
