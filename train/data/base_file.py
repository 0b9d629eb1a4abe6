"""The dataset file of an earlier `make data` as a source: its base data with the splits that they have.

A retraining adds labelled faces to pictures whose first form is elsewhere by then, and is compared on the very test
pictures that the champion was tested on. Faces from devices in the file are left out: the folder of labels says which
of them there are now.
"""

import json
from pathlib import Path
from typing import Final

from edge_contract import limits
from edge_contract.bounded_read import read_text
from edge_contract.errors import UsageError
from train.data.dataset import BASE, load
from train.data.rows import PictureFormat, Rows

SUFFIX: Final = ".npz"
REPORT: Final = "report.json"


def read(path: Path, form: PictureFormat) -> Rows:
    """The base data of a dataset file.

    Raises:
        UsageError: It is no dataset file, or of pictures of another size or colour.
    """
    data = load(path)
    if data.images.shape[1:] != (form.height, form.width, form.channels):
        height, width, channels = data.images.shape[1:]
        raise UsageError(
            f"{path} holds pictures of {width}x{height} with {channels} channels, and the section `prepare` says "
            f"{form.width}x{form.height} {form.colour}",
            remedy="name the first source of its pictures instead",
        )
    kept = data.of_origin(BASE)
    return Rows(
        images=data.images[kept],
        labels=data.labels[kept],
        split=data.split[kept],
        label_names=data.label_names,
        places=[f"{path.name} row {row}" for row in kept],
        votes=data.votes[kept],
        vote_names=data.vote_names,
        resized=[],
        problems=[],
        digest=data.source_digest if len(kept) == len(data.labels) else data.digest(),
    )


def source_of(path: Path) -> str:
    """The source that the report beside the file names: the gate tells drawn faces from real ones by it.

    Raises:
        UsageError: There is no report, or it names none.
    """
    report = path.with_name(REPORT)
    try:
        source = json.loads(read_text(report, limits.DOCUMENT_BYTES))["source"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{report} does not say which pictures {path.name} was made of", remedy="keep both files together"
        ) from error
    return str(source)
