"""How long tests wait for what another process or thread does."""

#: So long that only what never comes ends a wait, on a machine that does the work of ten: a wait that ends proves nothing about time.
PATIENCE_S = 240.0
