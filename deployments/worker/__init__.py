"""The warm worker: one process that listens to the queues and polls its pool."""
