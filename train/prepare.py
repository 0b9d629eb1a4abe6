"""`make data SOURCE=…`: one dataset file and a report on it from whatever form the pictures are in.

    python -m train.prepare [--source S] [--ferplus F] [--params params.yaml] [--remember]

Splits are fixed here, once: training rows that equal a test picture are left out. Where the source has no selection
split of its own (a folder `val`), it takes a stratified tenth of Training whose equal pictures never stand on both
sides.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from edge_contract.bounded_read import read_text
from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.setting_types import Seed, Text, TextOrNone
from edge_contract.settings_file import LARGEST
from edge_vision.faces import open_detector
from edge_vision.framed import FaceSample, sample
from train.data import base_file, field, field_rows
from train.data.dataset import Dataset, image_digests, save
from train.data.read import read_source
from train.data.report import DataReport, FieldReport, describe, readable
from train.data.rows import PRIVATE, SELECTION, TEST, TRAIN, PictureFormat, Rows
from train.data.splits import stratified_share, training_rows_in_tests
from train.params import load_section, write_values

SHOWN_PROBLEMS = 5


Side = Annotated[int, msgspec.Meta(ge=8, le=1024)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
LARGEST_PICTURE = 640 * 480 * 3  # values; a package of a larger input could not carry its known answers


class PrepareParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `prepare` section of params.yaml."""

    source: Text = "synthetic:2100"
    ferplus: TextOrNone = ""
    output: Text = "data"
    height: Side = 48
    width: Side = 48
    colour: Literal["grey", "rgb"] = "grey"
    max_bad: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 20
    selection_share: Share = 0.1
    test_share: Share = 0.1
    seed: Seed = 2013
    field: TextOrNone = ""
    """A folder of labelled faces from devices, as `edgewise labels export --folder` writes it; empty for none."""
    field_digest: TextOrNone = ""
    """What its tables must be (SHA-256), or empty: so the pipeline sees that they changed."""
    field_held_out: Share = 0.3
    """Of the faces, for the gate alone."""
    field_device_share: Share = 0.1
    """So many faces of one device are trained on, as a share of the base data's."""


def prepare(params: PrepareParams) -> tuple[Dataset, DataReport]:
    """Read the source, decide the splits, count; nothing is written.

    Raises:
        UsageError: The source cannot be used or has more unusable rows than `max_bad`, or the size is no square.
    """
    if params.height != params.width:
        raise UsageError(
            f"prepare.height is {params.height} and prepare.width {params.width}, and a model is shown squares",
            remedy="give both the same value: of a picture of another ratio the central square is taken",
        )
    form = PictureFormat(params.height, params.width, params.colour)
    if form.height * form.width * form.channels > LARGEST_PICTURE:
        raise UsageError(
            f"pictures of {form.width}x{form.height} {form.colour} are too large for a package",
            remedy="lower prepare.height and prepare.width: up to 554 in rgb, 960 in grey",
        )
    rows = read_source(params.source, params.ferplus, form, params.seed)
    refuse_too_many_problems(rows, params.max_bad)
    digests = image_digests(rows.images)
    split = rows.split.copy()
    rng = np.random.default_rng(params.seed)
    if not np.isin(split, (TEST, PRIVATE)).any():
        _draw(split, TEST, params.test_share, rows, digests, rng)
    left_out = training_rows_in_tests(digests, split, (TEST, PRIVATE))
    if divided := SELECTION in split:  # the source's own: what is chosen by must not have been learned from either
        left_out |= training_rows_in_tests(digests, split, (SELECTION, TEST, PRIVATE))
    report = describe(rows, digests, split, left_out)
    kept = ~left_out
    kept_rows = _subset(rows, kept)
    kept_digests = [digest for digest, keep in zip(digests, kept, strict=True) if keep]
    kept_split = split[kept]
    if not divided:
        _draw(kept_split, SELECTION, params.selection_share, kept_rows, kept_digests, rng)
    dataset = Dataset(
        kept_rows.images, kept_rows.labels, kept_split, rows.label_names, kept_rows.votes, rows.vote_names, rows.digest
    )
    _refuse_missing_class(dataset)
    report = dataclasses.replace(report, faces=_faces(dataset, params.seed))
    source = Path(params.source)
    named = base_file.source_of(source) if source.suffix == base_file.SUFFIX else source.name
    if params.field:
        dataset, of_devices = _with_field(dataset, params, form)
        report = dataclasses.replace(report, field=of_devices)
    return dataset, report.with_counts(dataset, named)


def _with_field(dataset: Dataset, params: PrepareParams, form: PictureFormat) -> tuple[Dataset, FieldReport]:
    """The dataset with the labelled faces of devices.

    Raises:
        UsageError: The folder cannot be used, is not the one of `field_digest`, or has too many unusable rows.
    """
    folder = Path(params.field)
    if params.field_digest and field.digest_of(folder) != params.field_digest:
        raise UsageError(
            f"the labels in {folder} are not those of prepare.field_digest",
            remedy="set it to what they are now, or empty it: labels were added or erased since",
        )
    found = field.read(
        folder, dataset.label_names, form, selection=params.selection_share, held_out=params.field_held_out
    )
    refuse_too_many_problems(found, params.max_bad)
    return field_rows.join(dataset, found, params.field_device_share)


def _faces(dataset: Dataset, seed: int) -> FaceSample | None:
    """Whether the training pictures show faces, by the detector that needs no file; None without it."""
    try:
        detector = open_detector(None)
    except EdgewiseError:  # OpenCV 5 has none
        return None
    return sample(dataset.images[dataset.split_indices("train")], detector, seed)


def searches_faces(params: Path) -> bool:
    """Whether a model of this params file, which was read before, is to look for faces on a device."""
    package = yaml.safe_load(read_text(params, LARGEST)).get("package")
    return isinstance(package, dict) and package.get("around", "face") == "face"


def refuse_too_many_problems(rows: Rows | field.FieldData, max_bad: int) -> None:
    """Stop where so much is unusable that the source is probably not what it should be.

    Raises:
        UsageError: More than `max_bad` problems; the first few are named.
    """
    if len(rows.problems) > max_bad:
        first = "; ".join(str(problem) for problem in rows.problems[:SHOWN_PROBLEMS])
        raise UsageError(
            f"{len(rows.problems)} unusable rows or files, prepare.max_bad allows {max_bad}: {first}"
            f"{'; …' if len(rows.problems) > SHOWN_PROBLEMS else ''}",
            remedy="repair these, or raise prepare.max_bad",
        )


def _draw(
    split: NDArray[np.uint8], into: int, share: float, rows: Rows, digests: list[bytes], rng: np.random.Generator
) -> None:
    """Move a stratified share of the training rows into another split, in place."""
    training = np.flatnonzero(split == TRAIN)
    chosen = stratified_share(rows.labels[training], [digests[row] for row in training], share, rng)
    split[training[chosen]] = into


def _subset(rows: Rows, kept: NDArray[np.bool_]) -> Rows:
    return Rows(
        images=rows.images[kept],
        labels=rows.labels[kept],
        split=rows.split[kept],
        label_names=rows.label_names,
        places=[place for place, keep in zip(rows.places, kept, strict=True) if keep],
        votes=rows.votes[kept],
        vote_names=rows.vote_names,
        resized=rows.resized,
        problems=rows.problems,
        not_read=rows.not_read,
        digest=rows.digest,
    )


def _refuse_missing_class(dataset: Dataset) -> None:
    for split in ("train", "selection"):
        counts = np.bincount(dataset.labels[dataset.split_indices(split)], minlength=len(dataset.label_names))
        for name, count in zip(dataset.label_names, counts, strict=True):
            if count == 0:
                raise UsageError(
                    f"class `{name}` is empty in split {split}",
                    remedy="give it at least two different pictures that do not also stand in a test",
                )


def write(dataset: Dataset, report: DataReport, output: Path) -> None:
    """The dataset file, and the report for machines and for people."""
    save(dataset, output / "dataset.npz")
    write_file(output / "report.json", (json.dumps(report.as_json(), indent=1) + "\n").encode())
    write_file(output / "report.txt", readable(report).encode())


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.prepare`."""
    parser = argparse.ArgumentParser(
        description="Write data/dataset.npz and a report from fer2013.csv, folders, a zip or tar, or synthetic:N."
    )
    parser.add_argument(
        "--source", help="fer2013.csv, a folder of class folders, a zip or tar, or synthetic:N; before prepare.source"
    )
    parser.add_argument("--ferplus", help="FER+ votes for fer2013.csv: fer2013new.csv")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument(
        "--remember", action="store_true", help="write the source into the params file: `dvc repro` then reads the same"
    )
    options = parser.parse_args(arguments)
    params = load_section(options.params, "prepare", PrepareParams)
    if options.source:
        params = msgspec.structs.replace(params, source=options.source, ferplus=options.ferplus or "")
    elif options.ferplus:
        params = msgspec.structs.replace(params, ferplus=options.ferplus)
    dataset, report = prepare(params)
    write(dataset, report, Path(params.output))
    if options.remember:
        write_values(options.params, "prepare", {"source": params.source, "ferplus": params.ferplus})
    print(readable(report, long=False))  # noqa: T201 - the command's answer
    if report.faces is not None and report.faces.advice and searches_faces(options.params):
        print(f"Warning: {report.faces.advice}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
