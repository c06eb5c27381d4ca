"""The old name of `flows.send_recurring`, for one release: what was registered under it runs on."""

from flows.send_recurring import send_recurring as send_recurring
