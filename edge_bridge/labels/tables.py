"""The tables of `labels.db`: sealed crops with the facts that queries need, what people said of them, what was erased.

`annotations` and `tombstones` are only ever added to, except where an erasure or the end of retention removes the crops
that annotations are of. `crops.answers` is worked out from `annotations` and could be worked out again.
"""

from typing import Final

import sqlalchemy as sa

SCHEMA: Final = 1
metadata = sa.MetaData()

crops = sa.Table(
    "crops",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("device", sa.String(64), nullable=False),
    sa.Column("session", sa.Integer, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("received", sa.Double, nullable=False, comment="by the bridge's clock, seconds since 1970"),
    sa.Column("key", sa.LargeBinary, nullable=False, comment="which key it is sealed to"),
    sa.Column("bytes", sa.Integer, nullable=False, comment="of `sealed`"),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("taken", sa.Double, nullable=False, comment="by the device's clock, seconds since 1970"),
    sa.Column("track", sa.Integer, nullable=False),
    sa.Column("stratum", sa.String(16), nullable=False),
    sa.Column("inclusion", sa.Double, nullable=False),
    sa.Column("champion", sa.Text, nullable=False, comment="JSON of Guess"),
    sa.Column("challenger", sa.Text, comment="JSON of Guess"),
    sa.Column("model", sa.String(96), nullable=False, comment="name-release of the champion"),
    sa.Column("consent", sa.Text, nullable=False, comment="JSON of Consent"),
    sa.Column("shuffle", sa.Integer, nullable=False, comment="chance that does not depend on what the crop shows"),
    sa.Column("answers", sa.Integer, nullable=False, default=0, comment="people whose answer stands"),
    sa.Column("damaged", sa.Text, nullable=False, default="", comment="why it cannot be shown; empty: it can"),
    # The last: to read what stands before it, its pages need not be.
    sa.Column("sealed", sa.LargeBinary, nullable=False, comment="as it came"),
    sa.UniqueConstraint("device", "session", "sequence"),
    sa.Index("crops_waiting", "damaged", "key", "stratum", "answers", "shuffle"),
    sa.Index("crops_of_device", "device", "bytes"),
    sa.Index("crops_received", "received"),
    sqlite_autoincrement=True,  # the number of a crop that was erased is never that of another
)
annotations = sa.Table(
    "annotations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("crop", sa.Integer, sa.ForeignKey("crops.id"), nullable=False),
    sa.Column("annotator", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, comment="label, not-a-face, cannot-tell or undo"),
    sa.Column("label", sa.String(64), nullable=False, comment="empty unless the kind is label"),
    sa.Column("time", sa.Double, nullable=False, comment="seconds since 1970"),
    sa.Column("shown", sa.Boolean, nullable=False, comment="whether the model's answer was shown before this one"),
    sa.Column("model", sa.String(96), nullable=False, comment="name-release that answered on the device"),
    sa.Column("guess", sa.String(64), nullable=False, comment="what it answered"),
    sa.Column("undoes", sa.Integer, unique=True, comment="the number of the row that this one takes back"),
    sa.Index("annotations_of", "crop", "annotator"),
    sqlite_autoincrement=True,
)
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("device", sa.String(64), nullable=False),
    sa.Column("since", sa.Double, comment="by the device's clock; none: from the beginning"),
    sa.Column("until", sa.Double, comment="exclusive; none: without end"),
    sa.Column("time", sa.Double, nullable=False, comment="when it was erased"),
    sa.Column("crops", sa.Integer, nullable=False, comment="how many"),
    sqlite_autoincrement=True,
)
schema = sa.Table("labels_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))
