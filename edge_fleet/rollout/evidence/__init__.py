"""What devices counted of a release, checked, and put together."""
