"""All state in PostgreSQL, by area. No other SQL dialect is supported."""
