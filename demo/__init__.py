"""The main job from end to end on one machine, with real parts: what `make demo` runs."""
