"""What the release side signed: fetched, verified by a child process, kept."""
