"""What the archive keeps besides the bytes."""
