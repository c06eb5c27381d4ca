"""The steps of a deposit: what an e-mail brought, and the manifest that describes it."""
