"""The old name of `deployments.worker.pool_worker`, for one release: what was registered under it runs on."""

from deployments.worker.pool_worker import MailroomWorker as MailroomWorker
