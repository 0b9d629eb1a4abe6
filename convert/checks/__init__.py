"""What the gate holds against a candidate."""
