"""The parser in separate processes."""
