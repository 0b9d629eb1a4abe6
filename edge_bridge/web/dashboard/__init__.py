"""The page for the first day: what runs where, and how well. Prometheus and Grafana are for the rest."""
