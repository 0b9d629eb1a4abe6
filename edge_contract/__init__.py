"""What the roles say to each other: topics, messages, manifest, package, trust. No sockets, threads or numpy."""
