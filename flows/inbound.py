"""The old name of `flows.receive_email`, for one release: what was registered under it runs on."""

from flows.receive_email import receive_email as receive_email
