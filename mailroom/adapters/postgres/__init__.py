"""State in PostgreSQL: the ledger, the directory, the inbox and the archive's receipts. No other dialect."""
