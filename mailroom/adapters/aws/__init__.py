"""AWS: one module for each service, and the clients that all of them use."""
