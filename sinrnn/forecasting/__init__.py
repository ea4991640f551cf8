"""A trained network goes on where a series ends."""
