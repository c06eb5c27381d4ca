"""The ledger of received e-mails, and the records of processors."""
