"""An independent audit: proves from S3, SQL, archive and queues that no e-mail was lost or filed twice.

It is evidence only because it is independent: it shares no code with what it checks. It has its own SQL through psycopg, its
own boto3 clients, and its own definition of a complete filed e-mail; an import contract (pyproject.toml) enforces that. It
only reads, so it may run beside production. Memory is bounded: stores and tables are read in the order of their keys and
compared as two sorted streams.

    inbound bucket ──by key── inbound_email ── routed recipients ── inbox_item ── attachment
                                   └── archive_ids ──── deposit ──by key── archive bucket
"""
