"""The row of models that are signed and bad: pushed to a device, which must stop each or roll it back."""

import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from edge_agent.models import selftest, selftest_child
from edge_agent.models.slots import ActiveModel
from edge_agent.update.machine import SETTLED
from edge_contract import package
from edge_contract.manifest import Budget, digest_of
from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from tests.agent.update.update_bench import FIXTURES, Device, eventually, tiny
from tests.faults import mutants
from tests.faults.device import FACTORY, Site
from tests.faults.row import Row

_CRASHES: Final = frozenset({"SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL"})
_QUICK_CHILD: Final = (
    sys.executable, "-P", "-c",
    "import sys; from edge_agent.models import selftest_child as child; child.CPU_SECONDS = 6; "
    "sys.exit(child.main(sys.argv[1:]))",
)  # fmt: skip
"""The self-test's child with a tenth of its time: an endless model meets the same limit sooner."""


def crashing() -> ModelPackage:
    """`tiny` changed such that it takes the self-test's real child down."""
    for seed in range(3000):
        chance = random.Random(seed)  # noqa: S311
        data = mutants.mutated_graph(tiny(2).model, chance)
        if not data or data == tiny(2).model:
            continue
        model = _with(tiny(2), data)
        ended, _ = mutants.forked(partial(selftest_child.examine, _active(model)))
        if ended in _CRASHES and "did not survive" in selftest.run_unstaged(_active(model)).reason:
            return model
    raise LookupError("none of the mutants crashes this interpreter")


def worse() -> ModelPackage:
    """`tiny` with other weights, and the known answers that it had before."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tiny(2).model, 0))
    weights = max((each for each in model.buffers if each.data is not None), key=lambda each: len(each.data))
    weights.data = list(np.random.default_rng(1).integers(0, 256, len(weights.data), np.uint8))
    builder = Builder(8192)
    builder.Finish(model.Pack(builder), b"TFL3")
    return _with(tiny(2), bytes(builder.Output()))


def _with(whole: ModelPackage, data: bytes) -> ModelPackage:
    manifest = msgspec.structs.replace(whole.manifest, digest=digest_of(data), size=len(data))
    return ModelPackage(manifest, data, whole.card)


def _active(model: ModelPackage) -> ActiveModel:
    return ActiveModel(model.manifest, model.model, "release")


def models() -> dict[str, Callable[[], ModelPackage]]:
    """By what is bad about each."""
    return {
        "crashes": crashing,
        "answers no numbers": partial(_fixture, "nan"),
        "sums to a half": partial(_fixture, "short"),
        "sums to more than one": partial(_fixture, "long"),
        "is ten times slow": slow,
        "never answers": partial(_fixture, "endless"),
        "eats memory": partial(_fixture, "vast"),
        "is worse": worse,
    }


def slow() -> ModelPackage:
    """`tiny` with a budget of a tenth of the time that it takes."""
    budget = Budget(latency=_latency(tiny(2)) / 10)
    return ModelPackage(msgspec.structs.replace(tiny(2).manifest, budget=budget), tiny(2).model, tiny(2).card)


def _fixture(name: str) -> ModelPackage:
    return package.read_file(FIXTURES / f"{name}-1.ewm")


def _latency(model: ModelPackage) -> float:
    classifier = Classifier(model.model, model.manifest)
    began = time.process_time()
    for number in range(200):
        classifier.raw(np.full(classifier.input.shape, number, np.uint8))
    return (time.process_time() - began) / 200


def bad_models(folder: Path, names: Sequence[str] = ()) -> Row:
    """The row. `names`: some of `models`, else all."""
    row = Row("signed but bad models")
    with row.timed(), Site(folder / "bad") as site:
        for what, make in models().items():
            if names and what not in names:
                continue
            row.count("models")
            model = make()
            manifest = msgspec.structs.replace(model.manifest, name=what.replace(" ", "-"))
            bad = ModelPackage(manifest, model.model, model.card)
            with Device(
                site.new_folder(), site.port, (site.folder / "root.json").read_bytes(), factory=FACTORY,
                selftest_command=_QUICK_CHILD,
            ) as device:  # fmt: skip
                target = site.side.push(bad)
                eventually(
                    lambda device=device, target=target: (
                        device.reported.target == target and device.reported.state in SETTLED
                    ),
                    f"an end of {what}",
                )
                said = device.reported
                if said.state not in {"rejected", "rolled-back"} or device.running != tiny(1).manifest.digest:
                    row.found.append(f"a model that {what} is {said.state}")
                else:
                    row.count(said.state.replace("-", "_"))
                    print(f"{what}: {said.state}: {said.reason}", file=sys.stderr)
    return row
