"""The old name of `flows.sweep_inbound` and `flows.sweep_outbound`, for one release: what was registered under it runs on."""

from flows.sweep_inbound import sweep_inbound as sweep_inbound
from flows.sweep_outbound import sweep_outbound as sweep_outbound
