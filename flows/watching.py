"""The old name of `flows.watch`, for one release: what was registered under it runs on."""

from flows.watch import watch as watch
