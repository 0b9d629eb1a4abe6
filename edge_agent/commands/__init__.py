"""Signed commands to this one device, and what each does."""
