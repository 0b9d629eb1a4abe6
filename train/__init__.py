"""Data, network, fit, evaluate, tune. Runs from the checkout."""
