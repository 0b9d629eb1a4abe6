"""The board's service manager, liveness, logs and memory."""
