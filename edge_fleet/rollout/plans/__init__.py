"""The plan of a rollout: its waves and what each gate asks for, as people write it, and who takes part."""
