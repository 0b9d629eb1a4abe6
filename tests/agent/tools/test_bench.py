"""`edgewise-agent bench`: the real pipeline is measured; no figure is pinned, only that it is there and is judged."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.camera.drawn import HEIGHT, WIDTH, DrawnSource
from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.settings import PipelineSettings
from edge_agent.models.selftest import Verdict
from edge_agent.telemetry.board import Board
from edge_agent.tools import bench
from edge_agent.tools.bench import Run, StageTime
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import Budget
from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector, HaarDetector, YuNetDetector
from tests.agent.scenes import moving_face, write_clip

TINY = Path(__file__).parents[2] / "fixtures" / "tiny-1.ewm"
DRAWN = SourceSettings(pace="fast")
INVOKED = StageTime(n=100, p50_ms=2.0, p95_ms=4.0)
GOOD = Run(
    frames=100,
    dropped=0,
    faces=100,
    errors=0,
    seconds=3.3,
    fps=30.0,
    cpu_share=0.1,
    stages={"invoke": INVOKED},
    resident_mb=60.0,
)
PASSED = Verdict(passed=True)


@pytest.fixture(params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    if request.param == "haar":
        return HaarDetector()
    shared: Path = request.getfixturevalue("shared_data")
    return YuNetDetector(shared / "face_detection_yunet_2023mar.onnx")


def test_the_built_in_picture_holds_one_face_that_moves(detector: FaceDetector) -> None:
    stream = DrawnSource(DRAWN).connect()
    lefts = set()
    for frame in range(95):
        assert stream.grab()
        picture = stream.retrieve(gray=True)
        assert picture.shape == (HEIGHT, WIDTH)
        if frame % 12 == 0:
            (face,) = detector.detect(picture)
            lefts.add(round(face.box.left))
            assert 60 < face.box.width < 250
    assert max(lefts) - min(lefts) > 100


def test_a_run_times_every_stage_of_the_real_pipeline(tiny: ModelPackage) -> None:
    classifier = Classifier(tiny.model, tiny.manifest)
    run = bench.run(DrawnSource(DRAWN), HaarDetector(), classifier, PipelineSettings(), seconds=0.3, board=Board())
    assert set(run.stages) == {"capture", "detect", "preprocess", "invoke", "whole"}
    assert (run.dropped, run.errors) == (0, 0)
    assert run.frames > 0
    assert run.faces > 0
    assert run.stages["whole"].n in {run.frames, run.frames + 1}
    assert all(0 < took.p50_ms <= took.p95_ms for took in run.stages.values())
    assert run.cpu_share > 0
    assert run.resident_mb is not None


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("{folder}/one.png", r"one\.png gave no more than 1 frames; try a longer clip"),
        ("http://127.0.0.1:9/v", r"http://127\.0\.0\.1:9/v gave 0 frames: source: (?!.*longer clip)"),
    ],
)
def test_a_source_that_gives_too_little_is_named_with_the_reason(
    tmp_path: Path, tiny: ModelPackage, url: str, sentence: str
) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((48, 64), np.uint8))
    source = open_source(SourceSettings(url=url.format(folder=tmp_path), pace="fast", open_timeout=0.5))
    classifier = Classifier(tiny.model, tiny.manifest)
    with pytest.raises(EdgewiseError, match=sentence):
        bench.run(source, HaarDetector(), classifier, PipelineSettings(), seconds=0.5, board=Board())


@pytest.mark.parametrize(
    ("paced", "possible", "selftest", "words"),
    [
        (GOOD, 200.0, PASSED, ()),
        (replace(GOOD, dropped=1), 200.0, PASSED, ()),
        (replace(GOOD, stages={}), 200.0, PASSED, ("no face was found",)),
        (replace(GOOD, stages={"invoke": replace(INVOKED, p95_ms=101.0)}), 9.0, PASSED, ("budget is 100",)),
        (replace(GOOD, dropped=50, fps=20.0), 21.0, PASSED, ("33% of the frames were dropped at this rate; 21 a",)),
        (replace(GOOD, dropped=50), 200.0, PASSED, ("something else keeps this device busy",)),
        (replace(GOOD, dropped=50), None, PASSED, ("33% of the frames were dropped at this rate",)),
        (replace(GOOD, errors=2), None, PASSED, ("2 frames failed",)),
        (GOOD, 200.0, Verdict(passed=False, reason="garbage."), ("the self-test failed: garbage.",)),
    ],
)
def test_what_does_not_hold_is_said(
    paced: Run, possible: float | None, selftest: Verdict, words: tuple[str, ...]
) -> None:
    found = bench.complaints(paced, possible, Budget(latency=0.1), selftest)
    assert len(found) == len(words)
    assert all(word in said for word, said in zip(words, found, strict=True))


def bench_command(*arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "edge_agent", "bench", "--seconds", "0.3", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_package_is_measured_without_any_settings_and_the_status_is_the_verdict(tmp_path: Path) -> None:
    status, out, err = bench_command("--package", TINY, "--config", tmp_path / "none.toml", "--json")
    found: dict[str, Any] = json.loads(out)
    assert status == (0 if found["fit"] else 1), err
    assert found["model"] == "tiny 1"
    assert found["source"] == "the built-in picture"
    assert found["paced"]["stages"]["invoke"]["n"] > 0
    assert found["possible_fps"] > 0
    assert found["memory_mb"] is not None
    assert "self-test of the model" in err


def test_the_table_names_every_stage_for_a_clip_of_ones_own(tmp_path: Path, portrait: np.ndarray) -> None:
    clip = tmp_path / "clip.avi"
    write_clip(clip, moving_face(portrait, 45))
    status, out, err = bench_command("--package", TINY, "--source", clip, "--config", tmp_path / "none.toml")
    assert status in {0, 1}, err
    for words in ("clip.avi", "decode a frame", "run the model on a face", "budget", "resident memory"):
        assert words in out
    assert ("fit:" in out) == (status == 0)


def test_without_a_model_the_remedy_is_said(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('[device]\nstate_dir = "state"\n')
    status, out, err = bench_command("--config", tmp_path / "agent.toml")
    assert (status, out) == (1, "")
    assert "push a release" in err
