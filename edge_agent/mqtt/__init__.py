"""The device's one connection to the broker, and what is published retained on every connect."""
