"""Where an installation is: its regions and its own machine."""
