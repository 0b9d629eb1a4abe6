"""What is in a dataset and what is odd about it: counts, equal pictures, conflicting labels, files left out."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vision.framed import FaceSample
from train.data.dataset import SPLITS, Dataset
from train.data.rows import Problem, Rows

LISTED = 1000  # places named in a list of the report; the counts are always of all
SHOWN = 10  # of these in the short form, where what is lost to training is named too


@dataclass(frozen=True, slots=True)
class FieldReport:
    """Labelled faces from devices: what became of them."""

    devices: dict[str, dict[str, int]]
    """Of each device the faces in every split, those `erased`, those `in_a_test` and those `over_share`."""
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class DataReport:
    """Duplicates are counted before training rows that equal a test picture were left out; `counts` after."""

    source_digest: str
    duplicates_within: dict[str, int]
    duplicates_across: dict[str, int]
    conflicting: list[str]
    left_out_for_tests: list[str]
    resized: list[Problem]
    problems: list[Problem]
    not_read: list[Problem]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    faces: FaceSample | None = None  # None where no detector could look
    source: str = ""  # `synthetic:N`, or the file's or folder's name; the gate tells drawn faces from real ones by it
    field: FieldReport | None = None  # None where none was named

    def with_counts(self, dataset: Dataset, source: str) -> "DataReport":
        """The same report with pictures per split and class, and the source's name."""
        counts = {}
        for split in SPLITS:
            found = np.bincount(dataset.labels[dataset.split_indices(split)], minlength=len(dataset.label_names))
            if found.any():
                counts[split] = dict(zip(dataset.label_names, map(int, found), strict=True))
        return dataclasses.replace(self, counts=counts, source=source)

    def as_json(self) -> dict[str, Any]:
        """The report as `report.json` holds it; long lists are cut after `LISTED`, their counts are of all."""
        return {
            "source": self.source,
            "source_digest": self.source_digest,
            "counts": self.counts,
            "faces": self.faces,  # pictures looked at, pictures with a face
            "duplicates_within": self.duplicates_within,
            "duplicates_across": self.duplicates_across,
            "conflicting_labels": _listed(self.conflicting),
            "left_out_because_in_a_test": _listed(self.left_out_for_tests),
            "other_size": _listed([str(problem) for problem in self.resized]),
            "left_out_because_unusable": _listed([str(problem) for problem in self.problems]),
            "not_read": _listed([str(problem) for problem in self.not_read]),
            "field": None
            if self.field is None
            else {
                "devices": self.field.devices,
                "left_out_because_unusable": _listed([str(problem) for problem in self.field.problems]),
            },
        }


def describe(rows: Rows, digests: list[bytes], split: NDArray[np.uint8], left_out: NDArray[np.bool_]) -> DataReport:
    """Compare every picture with every other by digest; faces are not looked for."""
    groups: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests):
        groups.setdefault(digest, []).append(row)
    within: dict[str, int] = {}
    across: dict[str, int] = {}
    conflicting = []
    for members in groups.values():
        if len(members) == 1:
            continue
        present = sorted({int(split[row]) for row in members})
        for number in present:
            repeated = sum(int(split[row]) == number for row in members) - 1
            if repeated:
                within[SPLITS[number]] = within.get(SPLITS[number], 0) + repeated
        if len(present) > 1:
            name = " and ".join(SPLITS[number] for number in present)
            across[name] = across.get(name, 0) + 1
        if len({int(rows.labels[row]) for row in members}) > 1:
            conflicting.append(", ".join(f"{rows.places[row]} {rows.label_names[rows.labels[row]]}" for row in members))
    return DataReport(
        source_digest=rows.digest,
        duplicates_within=within,
        duplicates_across=across,
        conflicting=conflicting,
        left_out_for_tests=[rows.places[row] for row in np.flatnonzero(left_out)],
        resized=rows.resized,
        problems=rows.problems,
        not_read=rows.not_read,
    )


def readable(report: DataReport, *, long: bool = True) -> str:
    """The report for people: a table of counts, then a sentence for each oddity, then each by name.

    The short form names only what is not in the dataset, and of that the first few.
    """
    names = list(next(iter(report.counts.values()), {}))
    width = max([9, *map(len, names)]) + 1
    lines = [f"{'':10}" + "".join(f"{name:>{width}}" for name in [*names, "all"])]
    for split, counts in report.counts.items():
        values = [*counts.values(), sum(counts.values())]
        lines.append(f"{split:10}" + "".join(f"{value:>{width}}" for value in values))
    if report.faces is not None:
        lines.append(
            f"A face was found in {report.faces.found} of {report.faces.pictures} training pictures looked at."
        )
    for split, count in report.duplicates_within.items():
        lines.append(f"{count} pictures of {split} repeat another picture of {split} pixel for pixel.")
    for splits, count in report.duplicates_across.items():
        lines.append(f"{count} different pictures stand in {splits}.")
    lists = [
        ("training pictures were left out because they also stand in a test", report.left_out_for_tests, False),
        ("groups of equal pictures carry different labels", report.conflicting, False),
        (
            "pictures have another size: they, or their central square, were scaled",
            [str(problem) for problem in report.resized],
            False,
        ),
        ("rows or files could not be used and were left out", [str(problem) for problem in report.problems], True),
        ("files or folders were not read", [str(problem) for problem in report.not_read], True),
    ]
    for sentence, places, lost in lists:
        if places:
            shown = LISTED if long else SHOWN if lost else 0
            lines.append(f"{len(places)} {sentence}{':' if shown else '.'}")
            lines += [f"  {place}" for place in places[:shown]]
            lines += [f"  and {len(places) - shown} more"] if 0 < shown < len(places) else []
    if report.field is not None:
        lines += _of_field(report.field, long=long)
    return "\n".join(lines) + "\n"


def _of_field(field_report: FieldReport, *, long: bool) -> list[str]:
    """A line for each device, then what could not be used."""
    words = {"erased": "erased", "in_a_test": "left out as they stand in a test", "over_share": "over its share"}
    lines = [f"faces from {len(field_report.devices)} devices:"]
    for device, counts in sorted(field_report.devices.items()):
        said = [f"{count} {words.get(name, 'for ' + name)}" for name, count in counts.items() if count]
        lines.append(f"  {device}: {', '.join(said) or 'none'}")
    if field_report.problems:
        shown = LISTED if long else SHOWN
        lines.append(f"{len(field_report.problems)} labelled faces could not be used and were left out:")
        lines += [f"  {problem}" for problem in field_report.problems[:shown]]
    return lines


def _listed(places: list[str]) -> dict[str, Any]:
    return {"count": len(places), "first": places[:LISTED]}
