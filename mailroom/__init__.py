"""Mailroom: e-mail in, archived and filed; batches out, each message sent once and followed.

This package is the product's own logic. It does not import Prefect: `flows/`, `tasks/`, `blocks/` and `deployments/`
import it and orchestrate it.
"""
