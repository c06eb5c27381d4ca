"""Manifests: what the archive stores besides the bytes."""
