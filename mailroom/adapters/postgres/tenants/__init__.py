"""Who receives and who sends at which address."""
