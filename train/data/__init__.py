"""From files to a checked dataset: readers, splits, report."""
