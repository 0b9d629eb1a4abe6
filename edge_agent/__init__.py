"""The device: camera, vision, link, model updates, health."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt("edgewise-agent")
