"""MQTT to Prometheus, the prediction log and the dashboard."""
