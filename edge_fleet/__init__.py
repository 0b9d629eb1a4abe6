"""The release side: keys, releases, push, registry."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt("edgewise")
