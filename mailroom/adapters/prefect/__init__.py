"""Prefect over its REST API; nothing here imports Prefect."""
