"""The demo's second half with tiny real models, and the clip it shows to the agent."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from demo import clip
from demo.fleet import Fleet, measured
from demo.steps import Steps, run
from edge_contract.errors import EdgewiseError
from edge_vision.faces import HaarDetector

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_a_release_is_pushed_to_one_agent_and_the_next_is_rolled_out_to_three(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Fleet(tmp_path, Steps(), camera=None) as fleet:
        fleet.start()
        before = fleet.push(FIXTURES / "tiny-1.ewm")
        fleet.join()
        rollout = fleet.roll_out(FIXTURES / "tiny-2.ewm")
        result = measured(fleet, before, rollout)
    assert result["shadow_faces"] > 0
    assert 0 <= result["agreement"] <= 1
    ends = {"pass": (1, 2), "fail": (1, 1)}[result["verdict"]]
    assert (result["release_before"], result["release_after"]) == ends
    assert result["frames"] > 0
    assert result["metrics_scraped"] is True
    assert "dashboard" in capsys.readouterr().out


def test_the_clip_shows_a_face_that_moves_and_loops_without_a_jump() -> None:
    portrait, noise = clip.portrait(), np.random.default_rng(1)
    frames = [clip.frame(portrait, phase / 8, noise) for phase in range(9)]
    gray = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8) for frame in frames]
    found = [HaarDetector().detect(picture) for picture in gray]
    assert sum(bool(faces) for faces in found) >= 7
    lefts = [faces[0].box.left for faces in found if faces]
    assert max(lefts) - min(lefts) > 60
    first, last = np.asarray(gray[0], np.float32), np.asarray(gray[8], np.float32)
    assert np.abs(first - last).mean() < 8  # the grain alone differs


def test_a_command_that_fails_shows_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match=r"nowhere"):
        run(["ls", "/nowhere"], tmp_path / "log")
