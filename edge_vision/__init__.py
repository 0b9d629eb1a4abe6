"""From picture to answer, once for all roles: find faces, crop by the manifest, run the interpreter."""

from edge_contract.import_interrupt import end_imports_on_interrupt

end_imports_on_interrupt()
