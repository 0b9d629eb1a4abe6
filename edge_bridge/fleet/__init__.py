"""What the bridge knows of each device: counters, state, history, what was acknowledged."""
