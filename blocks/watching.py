"""The old name of `blocks.watch`, for one release: what was registered under it runs on."""

from blocks.watch import MailroomWatch as MailroomWatch
