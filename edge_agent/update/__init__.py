"""From a desired state to a committed model: a pure machine, its work, and the thread that drives it."""
