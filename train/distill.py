"""Write a teacher's answers for views of the training pictures: `python -m train.distill [--params params.yaml]`.

`--compare` only scores each teacher, and each combination of them, on the selection split.

Each teacher is a finished run's folder (`train.output`). Its answers are given for pictures that are already changed by
`distill.augment`; where there are several teachers, their probabilities are averaged. With `mixup` or `join` a view is
made of two pictures, which no teacher was trained on (Beyer et al. 2022). Views are of the `train` split.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.command_end import command
from edge_contract.errors import UsageError
from edge_contract.setting_types import Count, Seed, Strength, Text, Threads
from train.data import dataset
from train.loop import augment, machine
from train.loop.pca import principal_components
from train.loop.run_folder import load_run
from train.loop.settings import Augment
from train.loop.soft_labels import Views, save_views
from train.network import build
from train.params import add_set_option, load_section
from train.progress import steps
from train.scoring import scores

BATCH = 256


class DistillParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `distill` section of params.yaml."""

    teachers: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)] = ("build/teacher",)
    weights: tuple[Strength, ...] = ()  # of the teachers' probabilities in their mean; without any, all weigh alike
    views: Count = 8
    seed: Seed = 7
    features: Annotated[int, msgspec.Meta(ge=0, le=65536)] = 0  # principal components of the teachers' last features
    threads: Threads = 0
    augment: Augment = Augment(erase=0.0, mixup=0.0)
    dataset: Text = "data/dataset.npz"
    output: Text = "build/teacher/views.npz"


def load_teacher(run: Path, label_names: tuple[str, ...]) -> Any:
    """A finished run's network on fast layers, in the precision it was trained in.

    Raises:
        UsageError: The folder holds no finished run, or one for other labels.
    """
    shipped, params = load_run(run, label_names)
    config = build.network_config(params.network, params.network_options)
    return build.build_fast(config, shipped, policy=params.precision)


def answer(
    teachers: list[Any], images: NDArray[np.uint8], strength: Augment, views: int, seed: int, *,
    features: int = 0, weights: tuple[float, ...] = (),
) -> Views:  # fmt: skip
    """Change every picture `views` times and let the teachers answer for each.

    Raises:
        UsageError: `features` is more than the teachers have, or `weights` are not one for each.
    """
    if weights and (len(weights) != len(teachers) or min(weights) < 0 or not sum(weights)):
        raise UsageError(
            f"distill.weights are {list(weights)} for {len(teachers)} teachers", remedy="name one for each"
        )
    watched = [keras.Model(teacher.input, [teacher.output, teacher.get_layer("head").input]) for teacher in teachers]
    sizes = [teacher.output[1].shape[-1] for teacher in watched]
    if features > sum(sizes):  # refused before minutes of answers, not after
        raise UsageError(f"distill.features is {features}, the teachers have {sum(sizes)}", remedy="ask for fewer")
    shape = (views, *images.shape)
    seen = np.empty(shape, np.uint8)
    probabilities = np.empty((*shape[:2], teachers[0].output_shape[-1]), np.float16)
    partners, shares = np.empty(shape[:2], np.int32), np.empty(shape[:2], np.float32)
    seen_by = [np.empty((*shape[:2], size), np.float16) for size in sizes] if features else []
    noise = keras.random.SeedGenerator(seed)
    for view, start in steps(_starts(views, len(images)), "teacher", views * -(-len(images) // BATCH)):
        # Which pictures are blended differs from view to view.
        rows = np.random.default_rng([seed, view]).permutation(len(images))[start : start + BATCH]
        changes = augment.draw(strength, len(rows), np.random.default_rng([seed, view, start]))
        pixels = keras.ops.convert_to_tensor(images[rows].astype(np.float32))
        drawn = keras.ops.convert_to_tensor(changes)
        partners[view, rows] = np.roll(rows, 1)
        shares[view, rows] = keras.ops.convert_to_numpy(augment.own_share(drawn))
        changed = augment.mix_pictures(augment.apply(pixels, drawn, noise, strength), drawn)
        seen[view, rows] = np.rint(keras.ops.convert_to_numpy(changed)).astype(np.uint8)
        answers = [_both(teacher, seen[view, rows]) for teacher in watched]
        probabilities[view, rows] = np.average(
            [probability for probability, _ in answers], axis=0, weights=weights or None
        )
        for kept, (_, last) in zip(seen_by, answers, strict=bool(features)):
            kept[view, rows] = last
    return Views(seen, probabilities, _components(seen_by, shape[:2], features), partners, shares)


def compare(
    teachers: dict[str, Any], images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> list[tuple[str, scores.Scores, float]]:
    """Accuracy and log loss of every combination of teachers: (names, scores, loss), the lowest loss first."""
    answers = {name: _answers(teacher, images) for name, teacher in teachers.items()}
    rows = []
    for size in range(1, len(answers) + 1):
        for names in itertools.combinations(answers, size):
            mean = np.mean([answers[name] for name in names], axis=0)
            rows.append((" + ".join(names), scores.score(labels, mean), scores.log_loss(labels, mean)))
    return sorted(rows, key=lambda row: row[2])


def _components(seen_by: list[NDArray[np.float16]], shape: tuple[int, ...], count: int) -> NDArray[np.float16]:
    found = np.empty((*shape, count), np.float16)
    if count:
        components = principal_components([kept[0] for kept in seen_by], count)
        for view in range(shape[0]):
            found[view] = components.project(np.concatenate([kept[view] for kept in seen_by], axis=1))
    return found


def _both(teacher: Any, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    outputs = teacher.predict_on_batch(images.astype(np.float32))
    return [keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")) for output in outputs]


def _answers(teacher: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [
        teacher.predict_on_batch(images[start : start + BATCH].astype(np.float32))
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate([keras.ops.convert_to_numpy(keras.ops.cast(part, "float32")) for part in parts])


def _starts(views: int, n: int) -> Iterable[tuple[int, int]]:
    return ((view, start) for view in range(views) for start in range(0, n, BATCH))


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.distill`."""
    parser = argparse.ArgumentParser(description="Store a teacher's answers for views of the training pictures.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    add_set_option(parser)
    parser.add_argument("--compare", action="store_true", help="only score the teachers on the selection split")
    options = parser.parse_args(arguments)
    params = load_section(options.params, "distill", DistillParams, options.changes)
    data = dataset.load(Path(params.dataset))
    machine.limit_threads(params.threads)
    machine.keep_freed_memory()
    teachers = {run: load_teacher(Path(run), data.label_names) for run in params.teachers}
    if options.compare:
        rows = data.split_indices("selection")
        for names, result, loss in compare(teachers, data.images[rows], data.labels[rows]):
            print(f"{names}: {result.accuracy.value:.2%}, log loss {loss:.3f}, n {result.n}")  # noqa: T201 - the answer
        return 0
    rows = data.split_indices("train")
    views = answer(
        list(teachers.values()), data.images[rows], params.augment, params.views, params.seed,
        features=params.features, weights=params.weights,
    )  # fmt: skip
    save_views(Path(params.output), views, data)
    agreement = float((views.probabilities.argmax(axis=2) == data.labels[rows]).mean())
    print(  # noqa: T201 - the command's answer
        f"{params.output}: {params.views} views of {len(rows):,} pictures; "
        f"the teacher agrees with {agreement:.1%} of the labels"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
