"""Training by command, over the rooms `loop`, `network`, `scoring` and `data`; runs from the checkout."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt()
