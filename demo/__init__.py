"""The main job from end to end on one machine, with real parts: what `make demo` runs."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt()
