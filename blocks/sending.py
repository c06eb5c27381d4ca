"""The old name of `blocks.outbound`, for one release: what was registered under it runs on."""

from blocks.outbound import OutboundMail as OutboundMail
