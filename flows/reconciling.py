"""The old name of `flows.reconcile`, for one release: what was registered under it runs on."""

from flows.reconcile import reconcile as reconcile
