"""A mail as bytes: MIME, URLs, and the links of its HTML."""
