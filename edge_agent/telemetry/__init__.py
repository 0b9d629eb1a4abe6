"""What the device counts and how it reaches the bridge: meter, windows, spool, delivery."""
