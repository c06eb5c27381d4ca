"""What blocks share and is no block: credentials, regions, and what several blocks open together."""
