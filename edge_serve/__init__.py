"""The same model behind HTTP, where there is no camera: what a device answers to a picture, bit for bit.

One process: an event loop that answers what is quick, and a thread for what is not (docs/adr/0023). Requests come in by
Open Inference Protocol V2 and by the routes of SageMaker, Azure ML and Vertex AI; pictures become answers in
`edge_vision`, as on the device.
"""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt("edgewise-serve")
