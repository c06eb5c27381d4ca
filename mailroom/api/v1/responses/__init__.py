"""What the JSON routes answer. Stable: fields are added, never renamed or taken away."""
