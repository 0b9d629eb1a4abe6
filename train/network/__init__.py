"""Networks and how they are built, folded and restored."""
