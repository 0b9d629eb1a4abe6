"""MQTT to Prometheus, the prediction log and the dashboard."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt("edgewise-bridge")
