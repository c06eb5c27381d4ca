"""What a user searches for in an inbox."""
