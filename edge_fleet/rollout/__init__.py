"""Rollouts: a release reaches a group in shadow, then in waves, and stops by itself where it is worse."""
