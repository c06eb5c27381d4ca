"""A mail as bytes: MIME, what may stand in it, the links of its HTML."""
