"""Whose devices a rollout is about, and where each stands."""
