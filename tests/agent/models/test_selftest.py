"""The self-test with the real interpreter: mutants of a real model, as damage that somebody signed."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.models import selftest
from edge_agent.models.slots import Slots
from edge_contract.manifest import digest_of
from edge_contract.package import read_file
from edge_vision import goldens
from edge_vision.classifier import Classifier, runtime
from tests.agent.update.update_bench import tiny
from tests.conftest import REPOSITORY


def mutant(model: bytes, chance: random.Random) -> bytes:
    """A few bytes of the flatbuffer's structure changed; the magic stays."""
    changed = bytearray(model)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(8, len(changed))] = chance.randrange(256)
    return bytes(changed)


def verdict_on(model: bytes, folder: Path) -> selftest.Verdict:
    """Test these bytes as a properly signed release would be."""
    (folder / "part").write_bytes(model)
    slots = Slots(folder)
    manifest = replace(tiny(1).manifest, digest=digest_of(model), size=len(model))
    return selftest.run(slots.path(slots.stage(folder / "part", manifest)))


def test_a_good_model_passes_and_its_cost_is_measured(tmp_path: Path) -> None:
    verdict = verdict_on(tiny(1).model, tmp_path)
    assert verdict.passed
    assert verdict.latency is not None
    assert verdict.latency > 0
    assert verdict.memory is not None


def test_mutants_never_harm_the_process_that_asks(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311  # which bytes to change
    crashes, fragile = 0, runtime().startswith("tflite-runtime")
    for _ in range(10 if fragile else 3):
        verdict = verdict_on(mutant(tiny(1).model, chance), tmp_path)
        assert verdict.passed or (verdict.blame and verdict.reason)
        crashes += "did not survive" in verdict.reason
    assert crashes > 0 or not fragile  # tflite-runtime crashes on a quarter of them


@pytest.mark.parametrize(
    ("name", "reason"), [("nan-1", "no number"), ("short-1", "sum to"), ("long-1", "probabilities")]
)
def test_a_model_with_sound_goldens_that_answers_bright_pictures_with_nothing_is_refused(
    name: str, reason: str, tmp_path: Path
) -> None:
    package = read_file(REPOSITORY / "tests" / "fixtures" / f"{name}.ewm")
    assert goldens.check(Classifier(package.model, package.manifest), package.manifest, goldens.WITH_DELEGATES).ok
    (tmp_path / "part").write_bytes(package.model)
    slots = Slots(tmp_path)
    verdict = selftest.run(slots.path(slots.stage(tmp_path / "part", package.manifest)))
    assert (verdict.passed, verdict.blame) == (False, True)
    assert reason in verdict.reason


def test_a_slot_that_is_damaged_is_said_to_be_and_no_model_is_blamed(tmp_path: Path) -> None:
    (tmp_path / "slots" / "tiny-1-000000000000").mkdir(parents=True)
    verdict = selftest.run(tmp_path / "slots" / "tiny-1-000000000000")
    assert (verdict.passed, verdict.spoiled, verdict.blame) == (False, True, False)


def test_the_process_that_asks_loads_neither_numpy_nor_opencv_nor_an_interpreter() -> None:
    heavy = ("numpy", "cv2", "ai_edge_litert", "tflite_runtime")
    code = f"import sys, edge_agent.models.selftest; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert selftest.COMMAND[-1] == "edge_agent.models.selftest_child"
