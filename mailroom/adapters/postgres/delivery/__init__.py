"""Provider events, suppressions, breakers, and tenants' endpoints."""
