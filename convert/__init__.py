"""Conversion by command, over the rooms `checks` and `tflite`; runs from the checkout."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt()
