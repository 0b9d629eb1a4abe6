"""What the roles say to each other: topics, messages, the model manifest, the package, trust. No sockets, no threads, no numpy."""
