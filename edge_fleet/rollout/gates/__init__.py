"""What a stage has to pass, and the verdict: pure."""
