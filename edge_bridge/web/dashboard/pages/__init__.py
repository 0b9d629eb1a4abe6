"""The dashboard's pages, one module each: what they show is worked out by their neighbours above, without a browser."""
