"""MQTT 5 as a bridge needs it: a subscriber that acknowledges in batches, and publishes without acknowledgement."""
