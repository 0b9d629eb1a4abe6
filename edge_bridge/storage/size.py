"""How much room a logged prediction takes, its part of the indexes included: what retention by size goes by.

- SQLite: the pages of the file that are in use, less the records of devices and sums, over the rows. Pages that a
  deletion freed are not counted; SQLite fills them again before the file grows.
- PostgreSQL: `pg_total_relation_size` counts room that a deletion freed and vacuum has made usable again, so after a
  deletion it says nothing of the rows. The newest rows are measured instead, with their entries in each index, and the
  relation's size is the upper bound.
"""

from typing import Final

import sqlalchemy as sa

SAMPLE: Final = 1000
"""Rows measured on PostgreSQL."""
# Of each row 4 bytes in the page, of each index entry 8 and 4; B-tree pages are about three quarters full, heap pages
# nearly.
_POSTGRESQL: Final = f"""
    SELECT avg((pg_column_size(p.*) + 4) / 0.97
             + (pg_column_size(p.device) + 16 + 12) / 0.75
             + (8 + 12) / 0.75
             + (pg_column_size(p.device) + 8 + 12) / 0.75)
    FROM (SELECT * FROM predictions ORDER BY received DESC LIMIT {SAMPLE}) AS p
"""  # noqa: S608  # a number of this module


def bytes_per_row(connection: sa.Connection, count: int) -> float:
    """Bytes a prediction; `count`: how many there are, at least 1."""
    if connection.dialect.name == "sqlite":
        pages, free, page = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_count", "freelist_count", "page_size")
        )
        # SQLite knows a record's length without reading it.
        records = sum(
            connection.exec_driver_sql(f"SELECT total(length(record)) FROM {table}").scalar_one()  # noqa: S608
            for table in ("devices", "marks", "sums", "damaged")
        )
        return max(1.0, float((pages - free) * page - records) / count)
    measured = float(connection.exec_driver_sql(_POSTGRESQL).scalar_one())
    whole = connection.exec_driver_sql("SELECT pg_total_relation_size('predictions')").scalar_one()
    return max(1.0, min(measured, float(whole) / count))
