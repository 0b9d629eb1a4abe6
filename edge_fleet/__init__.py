"""The release side: keys, releases, push, registry."""
