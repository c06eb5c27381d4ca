"""The old name of `flows.raise_alarm`, for one release: what was registered under it runs on."""

from flows.raise_alarm import raise_alarm as raise_alarm
