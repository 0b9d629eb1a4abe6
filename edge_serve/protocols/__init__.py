"""What clients and clouds send, and how they want it answered."""
