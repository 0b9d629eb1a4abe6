"""From a frame to predictions: locate faces, follow them, classify, agree over time."""
