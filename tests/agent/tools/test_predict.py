"""`edgewise-agent look`: what the agent's own pipeline says of a picture is what one look at it says, bit for bit."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.events import PredictionEvent
from edge_agent.inference.settings import PipelineSettings
from edge_agent.tools import predict
from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from edge_vision.faces import HaarDetector
from edge_vision.recognition import answer, decoded, find
from tests.agent.agent_process import FIXTURES


def test_the_agent_says_of_a_picture_bit_for_bit_what_one_look_at_it_says(
    tmp_path: Path, portrait: np.ndarray, tiny: ModelPackage
) -> None:
    face = portrait[0:300, 90:390]
    two = np.hstack([face, np.asarray(cv2.flip(face, 1), np.uint8)])
    file = tmp_path / "two.png"
    cv2.imwrite(str(file), two)
    events: list[PredictionEvent] = []
    complaints: list[str] = []
    summary = predict.predict(
        open_source(SourceSettings(url=str(file), pace="fast")),
        HaarDetector(),
        Classifier(tiny.model, tiny.manifest),
        PipelineSettings(),
        on_prediction=events.append,
        on_error=complaints.append,
    )
    assert (summary.frames, summary.faces, complaints) == (1, len(events), [])

    classifier = Classifier(tiny.model, tiny.manifest)
    picture = decoded(file.read_bytes(), tiny.manifest)
    boxes = find(picture, HaarDetector(), tiny.manifest.crop)
    assert len(boxes) == len(events) == 2
    for box, event in zip(boxes, events, strict=True):
        assert event.probabilities == tuple(answer(classifier, picture, box).probabilities.astype(float).tolist())
        assert event.box[0] == box.left / picture.shape[1]
        assert event.box[1] == box.top / picture.shape[0]


def test_a_prediction_is_one_line_with_place_answer_and_box(tiny: ModelPackage) -> None:
    event = PredictionEvent(2, "happy", 0.914, (0.914,), (0.25, 0.5, 0.1, 0.2), 3.0, 1.5, tiny.manifest.ref)
    assert predict.line(event) == "    1.50 s  face 2   happy       91%  at 0.25,0.50 size 0.10x0.20"


def test_a_picture_that_cannot_be_read_is_reported_and_the_others_are_answered(
    tmp_path: Path, portrait: np.ndarray, tiny: ModelPackage
) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), portrait)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    complaints: list[str] = []
    events: list[PredictionEvent] = []
    summary = predict.predict(
        open_source(SourceSettings(url=str(tmp_path), pace="fast")),
        HaarDetector(),
        Classifier(tiny.model, tiny.manifest),
        PipelineSettings(),
        on_prediction=events.append,
        on_error=complaints.append,
    )
    assert (summary.frames, summary.errors, len(events)) == (1, 1, 1)
    assert "a.png" in complaints[0]


def looked(source: Path, tiny_package: Path = Path("tests/fixtures/tiny-1.ewm")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent", "look", str(source), "--package", str(tiny_package)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_each_answer_names_its_file_and_a_picture_without_a_face_says_so(tmp_path: Path, portrait: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), portrait)
    (tmp_path / "c.jfif").write_bytes(cv2.imencode(".jpg", portrait)[1].tobytes())
    cv2.imwrite(str(tmp_path / "d.png"), np.full((100, 100), 90, np.uint8))
    (tmp_path / "a.png").write_bytes(b"not a picture")
    done = looked(tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert [line.split()[:2] for line in lines] == [
        ["b.png", "face"], ["c.jfif", "face"], ["d.png", "no"], ["frames", "3,"],
    ]  # fmt: skip
    assert "a.png" in done.stderr


@pytest.mark.parametrize("names", [["a.png"], ["a.png", "b.jpg"]])
def test_a_look_that_could_read_nothing_fails(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"not a picture")
    done = looked(tmp_path)
    assert done.returncode == 1
    assert "could be read" in done.stderr


LOOK = "from edge_agent.cli import main; sys.exit(main(['look', sys.argv[1], '--package', sys.argv[2]]))"
SCORE = (
    "import cv2, pathlib; from train.scoring.predict import probabilities_of as score\n"
    "score(pathlib.Path(sys.argv[2]), cv2.imread(sys.argv[1], cv2.IMREAD_GRAYSCALE)[None, :, :, None], 2)"
)


def test_a_source_whose_name_is_longer_than_a_file_s_may_be_is_one_sentence(tmp_path: Path) -> None:
    done = looked(tmp_path / ("x" * 300))
    assert done.returncode == 1
    assert done.stderr.startswith("edgewise-agent: ")
    assert done.stderr.endswith("xxx: the name is too long; name another.\n")


@pytest.mark.parametrize("code", [LOOK, SCORE], ids=["look", "evaluate"])
def test_a_model_that_computes_for_ever_on_one_picture_ends_the_command_in_a_sentence(
    code: str, tmp_path: Path
) -> None:
    if code is SCORE:
        pytest.importorskip("rich", reason="a device's environment does not evaluate")
    picture = np.full((16, 16), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "fine.png"), picture)
    picture[0, :2] = 7, 200
    cv2.imwrite(str(tmp_path / "stuck.png"), picture)
    hasty = f"import sys; from edge_vision import patience; patience.PATIENCE_S = 1.0\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", hasty, str(tmp_path / "stuck.png"), str(FIXTURES / "stuck-1.ewm")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "gave no answer to one picture within 1 seconds; do not run this model here." in done.stderr
    assert "Traceback" not in done.stderr
    assert looked(tmp_path / "fine.png", FIXTURES / "stuck-1.ewm").returncode == 0


@pytest.mark.parametrize("command", [["look", "PICTURE"], ["bench", "--seconds", "1"], ["selftest"]])
def test_a_model_that_eats_the_memory_ends_in_a_sentence(command: list[str], tmp_path: Path) -> None:
    """It ends the self-test's process; this one, and the machine, never load it."""
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((48, 48), 128, np.uint8))
    arguments = [str(tmp_path / "picture.png") if each == "PICTURE" else each for each in command]
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *arguments, "--package", str(FIXTURES / "vast-1.ewm")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "vast 1 failed" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
