"""AWS: one service a module, and the clients that all of them use."""
