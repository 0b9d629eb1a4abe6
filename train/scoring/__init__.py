"""Predictions of a network and what they are worth."""
