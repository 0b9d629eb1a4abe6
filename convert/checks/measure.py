"""Measure a converted model for the gate: everything that needs a file, a process or a clock.

A model that cannot be read or run leaves its later measurements empty; `decision` turns that into reasons.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Converted
from convert.checks import field_faces, picture_files, reference, skew, structure, weights
from convert.checks.comparison import compare, paired_difference
from convert.checks.measurements import Cost, GoldenRun, Measurements, Rival, Structure
from convert.settings import GateSettings
from convert.tflite.candidate import input_of
from convert.tflite.flatbuffer import Graph, parse
from convert.tflite.runtimes import LITERT, MATRIX, Runtime, ask
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.manifest import ModelManifest, digest_of
from edge_contract.package import ModelPackage
from edge_vision.probabilities import probabilities
from train.data.dataset import Dataset
from train.scoring.scores import mcnemar

Progress = Callable[[str], None]
_FLOAT_STEPS: Final = 256  # a float answer is compared in steps of 1/256, an 8-bit answer's resolution


def measure(
    converted: Converted,
    data: Dataset,
    settings: GateSettings,
    *,
    synthetic: bool,
    trained_accuracy: float | None = None,
    champion: ModelPackage | None = None,
    champion_synthetic: bool = False,
    matrix: tuple[Runtime, ...] = MATRIX,
    progress: Progress = lambda _: None,
) -> Measurements:
    """Everything the gate asks of the int8 model of a conversion, on the split that `settings` name.

    `synthetic`: the data are rendered. `trained_accuracy`: what training reported on its selection split. `progress`
    is called with what is being measured next.

    Raises:
        UsageError: the data set is not the one of the conversion, or lacks the split.
    """
    model, manifest = converted.int8_model, converted.candidate
    rows = data.split_indices(settings.split)
    trained = converted.reference.get(settings.split)
    if trained is None or len(trained) != len(rows) or converted.record.dataset != data.source_digest:
        raise UsageError(
            f"the conversion was made with another data set (or one without a {settings.split} split)",
            remedy="run `make quantize` again",
        )
    found = Measurements(
        digest=digest_of(model),
        recorded_digest=converted.record.int8_digest,
        manifest_digest=manifest.digest,
        size=len(model),
        manifest_size=manifest.size,
        unreadable="",
        labels=manifest.labels,
        dataset_labels=data.label_names,
        synthetic=synthetic,
        trained_accuracy=trained_accuracy,
    )
    progress("structure and weights")
    try:
        graph, float_graph = parse(model, "the int8 model"), parse(converted.float_model, "the float model")
    except UsageError as error:
        return replace(found, unreadable=str(error))
    found = replace(
        found,
        structure=_structure(graph, manifest, data, converted.record.network_weights),
        weights=weights.compare(float_graph, graph) if converted.record.method == "ptq" else None,
    )
    # From here the model runs, as the agent would run it, so its manifest must carry this file's digest and size.
    trusted = _for_running(manifest, model)
    found = replace(found, goldens=tuple(_goldens(runtime, model, trusted, progress) for runtime in matrix))
    progress(f"{len(rows)} images of the {settings.split} split")
    images, truth = data.images[rows], data.labels[rows]
    try:
        answers, cost = answers_of(model, trusted, images, settings.timed)
    except EdgewiseError as error:
        return replace(found, run_failure=str(error))
    found = replace(found, cost=cost, majority=float(np.bincount(truth).max() / len(truth)))
    if sorted(manifest.labels) != sorted(data.label_names):
        return found
    named = in_order(answers, manifest.labels, data.label_names)
    found = replace(
        found,
        comparison=compare(trained, named, truth, list(data.label_names)),
    )
    progress("the selection split")
    sure = sure_above(model, trusted, data)
    found = replace(found, reference=reference.reference_of(named, truth, data.label_names, sure))
    progress("the device's path from picture to tensor")
    shown = images[: settings.skew_images]
    found = _with_skew(found, model, trusted, images=shown, direct=answers[: len(shown)])
    if champion is not None:
        progress(f"the champion, {champion.file_name}")
        rival = _rival(champion, images, truth, named, data.label_names)
        found = replace(found, rival=rival, rival_synthetic=champion_synthetic)
    return replace(found, field=_field(model, trusted, data, champion, progress))


def _field(
    model: bytes, manifest: ModelManifest, data: Dataset, champion: ModelPackage | None, progress: Progress
) -> field_faces.FieldFaces | None:
    """Both models on labelled faces from devices."""
    rows = field_faces.faces_of_devices(data)
    if not len(rows):
        return None
    progress(f"{len(rows)} faces from devices")
    ours = in_order(answers_of(model, manifest, data.images[rows])[0], manifest.labels, data.label_names)
    its = None if champion is None else _named_by(champion, data.images[rows], data.label_names)
    name = "" if champion is None else f"{champion.manifest.name} {champion.manifest.release}"
    return field_faces.measure(data, ours.argmax(axis=1), its, name)


def _structure(graph: Graph, manifest: ModelManifest, data: Dataset, network_weights: int) -> Structure:
    return Structure(
        foreign_operators=structure.foreign_operators(graph),
        open_shapes=structure.open_shapes(graph, manifest.input),
        float_tensors=structure.float_tensors(graph),
        weights=structure.weight_count(graph),
        network_weights=network_weights,
        input=(graph.input.dtype, graph.input.shape),
        expected_input=manifest.input,
        data_input=input_of(data.images),
    )


def _for_running(manifest: ModelManifest, model: bytes) -> ModelManifest:
    return msgspec.structs.replace(manifest, digest=digest_of(model), size=len(model))


def _goldens(runtime: Runtime, model: bytes, manifest: ModelManifest, progress: Progress) -> GoldenRun:
    """The goldens on one runtime, without and with its default delegates."""
    if not runtime.present:
        absent = f"its environment {runtime.python} is absent (`make setup-tflite` makes it)"
        return GoldenRun(runtime.name, runtime.name, absent, None, None)
    progress(f"goldens on {runtime.name}")
    length = int(np.prod(manifest.input.shape))
    shape = manifest.input.shape[1:]
    try:
        inputs = np.stack(
            [np.frombuffer(golden.pixels(length), np.uint8).reshape(shape) for golden in manifest.goldens]
        )
    except (UsageError, ValueError) as error:
        return GoldenRun(runtime.name, runtime.name, f"the goldens cannot be read ({error})", None, None)
    wanted = np.array([golden.output for golden in manifest.goldens])
    steps = _FLOAT_STEPS if manifest.output.dtype == "float32" else 1
    answer = ask(runtime, model, manifest, inputs, delegates=(False, True))
    if answer.outputs is None:
        return GoldenRun(runtime.name, runtime.name, answer.failure, None, None)
    worst: list[int] = []
    for outputs in np.split(answer.outputs.astype(np.float64), 2):
        off = np.abs(outputs - wanted).max()
        worst.append(round(float(off) * steps) if np.isfinite(off) else steps)
    return GoldenRun(runtime.name, answer.report.runtime, "", worst[0], worst[1])


def answers_of(
    model: bytes, manifest: ModelManifest, images: NDArray[np.uint8], timed: int = 0
) -> tuple[NDArray[np.float32], Cost]:
    """Probabilities [N, labels] on the reference runtime, in the manifest's order, and what `timed` of them cost.

    Raises:
        EdgewiseError: it gave none.
    """
    answer = ask(LITERT, model, manifest, images, timed=timed)
    if answer.outputs is None:
        raise EdgewiseError(answer.failure)
    slowest = float(np.quantile(answer.report.seconds, 0.95)) if answer.report.seconds else 0.0
    cost = Cost(latency=slowest, memory=answer.report.memory, budget=manifest.budget)
    return probabilities(answer.outputs, manifest), cost


def in_order(answers: NDArray[np.float32], labels: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.float32]:
    """Columns of `answers`, which stand in the order of `labels`, in the order of `wanted`."""
    return answers[:, [labels.index(label) for label in wanted]]


def sure_above(model: bytes, manifest: ModelManifest, data: Dataset) -> float | None:
    """`reference.sure_above` on the selection split, for on the test split estimates are held against the truth.

    Raises:
        EdgewiseError: the model gave no answers.
    """
    rows = data.split_indices("selection")
    if not len(rows):
        return None
    answers, _ = answers_of(model, manifest, data.images[rows])
    return reference.sure_above(in_order(answers, manifest.labels, data.label_names), data.labels[rows])


def _with_skew(
    found: Measurements,
    model: bytes,
    manifest: ModelManifest,
    *,
    images: NDArray[np.uint8],
    direct: NDArray[np.float32],
) -> Measurements:
    """The same file's answers to training's images as they are, and as the device would come to see them.

    Then both sides start from picture files: what the device sees in one, and what training reads of the same square.
    """
    try:
        tensors = skew.device_tensors(images, manifest)
        sightings = picture_files.photographed(images, manifest.crop)
        seen = picture_files.device_tensors(sightings, manifest)
        read = picture_files.training_images(sightings, manifest.crop, input_of(images))
        every, _ = answers_of(model, manifest, np.concatenate([tensors, read, seen]))  # one process, not three
        answers, of_read, of_seen = np.split(every, [len(tensors), len(tensors) + len(read)])
    except EdgewiseError as error:
        return replace(found, skew_failure=str(error))
    return replace(
        found,
        skew=skew.measure(images, tensors, direct, answers),
        files=skew.measure(read, seen, of_read, of_seen),
    )


def _rival(
    champion: ModelPackage,
    images: NDArray[np.uint8],
    truth: NDArray[Any],
    named: NDArray[np.float32],
    labels: tuple[str, ...],
) -> Rival:
    manifest = champion.manifest
    its, ours = _named_by(champion, images, labels), named.argmax(axis=1)
    return Rival(
        model=f"{manifest.name} {manifest.release}",
        drop=paired_difference(its == truth, ours == truth),
        mcnemar=mcnemar(its == truth, ours == truth).p_value,
        digest=manifest.digest,
        agreement=float((its == ours).mean()),
    )


def _named_by(champion: ModelPackage, images: NDArray[np.uint8], labels: tuple[str, ...]) -> NDArray[np.integer]:
    """The champion's answers [N], as numbers of `labels`."""
    manifest = champion.manifest
    if sorted(manifest.labels) != sorted(labels):
        raise UsageError(f"the champion {champion.file_name} names other labels than the data set: {manifest.labels}.")
    tensors = images if manifest.input == input_of(images) else skew.device_tensors(images, manifest)
    answers, _ = answers_of(champion.model, manifest, tensors)
    return in_order(answers, manifest.labels, labels).argmax(axis=1)
