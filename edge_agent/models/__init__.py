"""Models on this disk: downloaded in chunks, kept in slots, tested in a child process."""
