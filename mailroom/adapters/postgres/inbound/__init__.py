"""The ledger of received e-mails, and what processors did with them."""
