"""Mailroom: e-mail in, archived and filed; batches out, each message sent once and followed.

This package is the product's own logic. It knows nothing about Prefect: `flows/`, `tasks/`, `blocks/` and
`deployments/` put it on rails, and import it; never the other way round.
"""
