"""What is done about the installation as a whole."""
