"""The tables of the bridge's database. A change of them raises `SCHEMA`."""

from typing import Final

import sqlalchemy as sa

SCHEMA: Final = 1
"""The schema's version; an older bridge refuses a newer database."""

metadata = sa.MetaData()
_whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("session", _whole, primary_key=True),
    sa.Column("sequence", _whole, primary_key=True),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("time", sa.Double, nullable=False, comment="by the device's clock, seconds since 1970"),
    sa.Column("received", sa.Double, nullable=False, comment="by the bridge's clock; retention goes by this"),
    sa.Column("track", _whole, nullable=False),
    sa.Column("label", sa.String(64), nullable=False),
    sa.Column("confidence", sa.Double, nullable=False),
    sa.Column("probabilities", sa.Text, nullable=False, comment="JSON list in the order of the model's labels"),
    sa.Column("box", sa.Text, nullable=False, comment="JSON list: left, top, width, height as shares of the frame"),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("release", _whole, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("latency", sa.Double, nullable=False, comment="seconds from the frame to the message"),
    sa.Index("predictions_received", "received"),
)
devices = sa.Table(
    "devices",
    metadata,
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False, comment="JSON of Device"),
)
marks = sa.Table(  # apart from the records: these change with every message and are small
    "marks",
    metadata,
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False, comment="JSON of Progress: what may be acknowledged"),
)
sums = sa.Table(
    "sums",
    metadata,
    sa.Column("site", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(96), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False, comment="JSON of Sum"),
)
damaged = sa.Table(  # older bridges do not look for it
    "damaged",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True, comment="the table it stood in"),
    sa.Column("name", sa.String(256), primary_key=True, comment="its key there"),
    sa.Column("record", sa.LargeBinary, nullable=False, comment="as it was found"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("found", sa.Double, nullable=False, comment="when it was put aside, seconds since 1970"),
)
predictions_device_time = sa.Index("predictions_device_time", predictions.c.device, predictions.c.time)
"""What one camera answered between two times. An older bridge does not know of it, and the database keeps it."""
events = sa.Table(  # older bridges do not look for it
    "events",
    metadata,
    sa.Column("number", _whole, primary_key=True, autoincrement=True),
    sa.Column("scope", sa.String(16), nullable=False, comment="device or group"),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("time", sa.Double, nullable=False, comment="by the bridge's clock, seconds since 1970"),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(96), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Index("events_of", "scope", "name", "time"),
)
drift = sa.Table(  # an older bridge does not look for it either
    "drift",
    metadata,
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False, comment="JSON of DriftState"),
)
schema = sa.Table(
    "edgewise_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("written", sa.Double, nullable=False, comment="when this bridge last proved it can write"),
)


def make_indexes(connection: sa.Connection) -> None:
    """Make the index that a database of an earlier bridge lacks; minutes where it holds tens of millions of rows."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    predictions_device_time.create(connection, checkfirst=True)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout TO DEFAULT")
