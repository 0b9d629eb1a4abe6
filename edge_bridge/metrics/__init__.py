"""`/metrics`: the fleet's exposition and the bridge's own."""
