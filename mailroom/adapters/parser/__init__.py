"""The parser in processes of its own."""
