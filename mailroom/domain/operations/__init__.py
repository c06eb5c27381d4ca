"""Where an installation's data is: AWS regions, and the local machine."""
