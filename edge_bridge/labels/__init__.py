"""Labels from the field: sealed crops collected, shown, answered by people, and handed on; docs/labelling.md."""
