"""Which model answers: where it comes from, that it is what was signed, and its exchange while requests run."""
