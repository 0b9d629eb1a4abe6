"""The fleet as its retained messages show it, waiting for it, and commands to one device."""
