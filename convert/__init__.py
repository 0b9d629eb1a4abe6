"""Quantize, gate, package. Runs from the checkout."""
