"""The pages for people: rendered here, with no script and nothing from elsewhere."""
