"""How runs start and where: the warm worker, the SQS listener, and what must exist on the Prefect server."""
