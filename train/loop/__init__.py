"""One training: settings, batches, optimizer, checkpoints, several processes."""
