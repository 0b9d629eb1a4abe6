"""What the server counts, under the names by which the fleet's devices are watched."""
