"""From an MQTT message to a stored, counted and acknowledged record."""
