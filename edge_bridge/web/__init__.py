"""The bridge's HTTP side: health, metrics, dashboard."""
