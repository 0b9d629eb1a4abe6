"""From the pipeline to a pick: the very pixels that the model was shown, and a pipeline that does not notice."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.events import CropObserver, ModelAnswer, Shown
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.shadow import Shadow
from edge_agent.sampling.budget import Caps
from edge_agent.sampling.consent import Permission
from edge_agent.sampling.observer import FaceSampler
from edge_agent.sampling.sampler import Pick, Rules, State
from edge_agent.sampling.sealing import Origin, sealed
from edge_contract.crop import CropName, unseal
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector, HaarDetector
from tests.agent.agent_process import DEVICE, FIXTURES
from tests.agent.inference.test_pipeline import EAGER, Everywhere, Notes
from tests.agent.inference.test_shadow import Tally
from tests.agent.sampling.field import CONSENT, KEY, pick
from tests.agent.scenes import moving_face, write_clip

CAPS = Caps(per_minute=600, per_hour=10_000, per_day=10_000, bytes=1 << 30)
ALL = Rules(share=1.0, uncertain_below=1.0, uncertain_share=1.0, disagreement_share=1.0, caps=CAPS)


class Kept:
    """A sampler that keeps all it may, and what it kept."""

    def __init__(self, rules: Rules = ALL, keep: Callable[[Pick], None] | None = None) -> None:
        self.picks: list[Pick] = []
        self.permission = Permission(CONSENT, time.time)
        self.sampler = FaceSampler(
            rules, State(), self.permission, keep=keep or self.picks.append, held=lambda: 0,
            draw=random.Random(1).random,  # noqa: S311
            clock=lambda: 1e6 * len(self.picks),
        )  # fmt: skip

    def of(self, stratum: str) -> list[Pick]:
        return [each for each in self.picks if each.stratum == stratum]


def run(
    source: Path,
    package: ModelPackage,
    crops: CropObserver | None,
    *,
    detector: FaceDetector | None = None,
    beside: Shadow | None = None,
) -> Notes:
    notes = Notes()
    pipeline = Pipeline(
        open_source(SourceSettings(url=str(source), pace="fast")),
        detector or Everywhere(),
        Classifier(package.model, package.manifest),
        EAGER,
        clock=time.monotonic,
        observer=notes,
        evidence=notes,
        chance=random.Random(1),  # noqa: S311
        crops=crops,
    )
    if beside is not None:
        pipeline.shadow(beside)
    pipeline.run(threading.Event())
    return notes


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "noise.avi"
    noise = np.random.default_rng(1)
    write_clip(path, (noise.integers(0, 256, (120, 160), np.uint8) for _ in range(30)))
    return path


def test_what_is_kept_is_the_very_input_to_which_the_model_gave_that_answer(
    tmp_path: Path, portrait: np.ndarray, tiny: ModelPackage
) -> None:
    """Two faces, so that the input was overwritten before the crop was sealed; each gets its own answer again."""
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 30, faces=2))
    kept, again = Kept(), Classifier(tiny.model, tiny.manifest)
    run(tmp_path / "clip.avi", tiny, kept.sampler, detector=HaarDetector())
    tracks = [each.shown.track for each in kept.of("random")]
    assert len(tracks) == len({*tracks}) >= 2
    for number, each in enumerate(kept.picks, 1):
        crop = unseal(
            sealed(each, CropName(1, number), Origin(DEVICE, "shop", 1), CONSENT, KEY.public_key()), DEVICE, KEY
        )
        tensor = np.frombuffer(crop.pixels, np.uint8).reshape(tiny.manifest.input.shape)
        assert tensor.std() > 5
        answer = dict(zip(tiny.manifest.labels, again.classify(tensor).tolist(), strict=True))
        assert crop.header.champion.probabilities == pytest.approx(answer)
        assert crop.header.champion.model == tiny.manifest.ref


def test_a_model_of_colours_gives_crops_of_red_green_and_blue_in_that_order(tmp_path: Path) -> None:
    wall = np.zeros((48, 64, 3), np.uint8)
    wall[...] = (10, 60, 250)  # as OpenCV has it: blue, green, red
    cv2.imwrite(str(tmp_path / "wall.png"), wall)
    kept = Kept()
    run(tmp_path / "wall.png", read_file(FIXTURES / "colours-1.ewm"), kept.sampler)
    (each,) = kept.of("random")
    crop = unseal(sealed(each, CropName(1, 1), Origin(DEVICE, "shop", 1), CONSENT, KEY.public_key()), DEVICE, KEY)
    assert crop.header.channels == 3
    assert crop.pixels[:3] == bytes((250, 60, 10))


def test_a_face_that_the_model_in_shadow_names_otherwise_is_kept_with_both_answers(
    clip: Path, tiny: ModelPackage
) -> None:
    turned = replace(tiny.manifest, labels=(*tiny.manifest.labels[1:], tiny.manifest.labels[0]), release=2)
    kept, tally = Kept(), Tally()
    beside = Shadow(Classifier(tiny.model, turned), 0.0, time.monotonic, tally, tally, kept.sampler)
    run(clip, tiny, kept.sampler, beside=beside)
    picks = kept.of("disagreement")
    assert len(picks) == len({each.shown.track for each in picks}) > 0
    assert tally.looks
    other = picks[0].other
    assert other is not None
    assert other.manifest.ref == turned.ref
    assert other.probabilities == pytest.approx(picks[0].shown.answer.probabilities)  # the same model, other names


def test_models_that_agree_give_no_disagreement(clip: Path, tiny: ModelPackage) -> None:
    kept, tally = Kept(), Tally()
    same = Classifier(tiny.model, replace(tiny.manifest, release=2))
    run(clip, tiny, kept.sampler, beside=Shadow(same, 0.0, time.monotonic, tally, tally, kept.sampler))
    assert tally.looks
    assert kept.of("disagreement") == []


def test_frames_and_predictions_are_the_same_with_and_without_sampling_even_one_that_fails(
    clip: Path, tiny: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_pick: Pick) -> None:
        raise RuntimeError("boom")

    def said(notes: Notes) -> list[tuple[object, ...]]:
        return [(event.track, event.label, event.probabilities, event.box) for event in notes.predictions]

    alone = run(clip, tiny, None)
    for keep in (None, fails):
        notes = run(clip, tiny, Kept(keep=keep).sampler)
        assert (notes.counts, notes.errors, said(notes)) == (alone.counts, [], said(alone))
    assert "was not sampled" in caplog.text


def test_what_was_picked_of_a_track_is_let_go_when_the_consent_is_over(clip: Path, tiny: ModelPackage) -> None:
    kept = Kept(Rules(1.0, 0.0, 0.0, 0.0, CAPS))
    shown = pick(1).shown
    kept.sampler.looked(shown, 0.0)
    kept.permission._over = "it was withdrawn"
    kept.sampler.looked(shown, 0.1)
    kept.sampler.only(frozenset())
    run(clip, tiny, kept.sampler)
    assert kept.picks == []
    assert all(face.candidate is None for face in kept.sampler._state.faces.values())


def test_a_model_whose_input_is_larger_than_a_crop_is_not_sampled_and_that_is_said_once(
    tiny: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    large = replace(tiny.manifest, input=replace(tiny.manifest.input, width=129))
    kept = Kept()
    for track in range(3):
        shown = Shown(
            track, np.zeros(large.input.shape, np.uint8), ModelAnswer(large, pick(1).shown.answer.probabilities)
        )
        kept.sampler.looked(shown, 0.0)
    kept.sampler.only(frozenset())
    assert kept.picks == []
    assert len([record for record in caplog.records if "more than 128 pixels" in record.getMessage()]) == 1
