"""What SQL knows of the archive."""
