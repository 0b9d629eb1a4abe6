"""Who may see the bridge's pages: by a password, by a proxy that knows its users, or by answering one machine alone."""
