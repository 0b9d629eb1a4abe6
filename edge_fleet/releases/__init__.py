"""Keys, signed metadata, releases and desired states, and their publication."""
