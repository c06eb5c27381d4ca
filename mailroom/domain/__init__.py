"""The rules of mail. Pure: no network, no clock, no randomness, no environment, no logging."""
