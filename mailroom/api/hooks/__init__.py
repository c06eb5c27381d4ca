"""What others post to us: providers, SNS, and readers who follow our own links."""
