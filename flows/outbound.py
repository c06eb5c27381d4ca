"""The old name of `flows.send_batch`, for one release: what was registered under it runs on."""

from flows.send_batch import send_batch as send_batch
