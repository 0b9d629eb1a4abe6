"""What goes wrong before simulated cameras: alerts and drift are rehearsed on it, so each looks like itself."""

import random

import pytest

from edge_contract.errors import UsageError
from edge_contract.messages import Telemetry, decode, encode
from edge_contract.metrics import DeviceGauge
from edge_simulator import mix
from edge_simulator.camera import DrawnCamera
from edge_simulator.gauges import DrawnGauges
from edge_simulator.mix import Trouble
from edge_simulator.scenes import EFFECTS, SOUND, Begins, Effect, Scene, Spread, effect_of, parse_scene
from tests.agent.update.update_bench import tiny

NOON = 1_800_014_400.0
BOARD = "Raspberry Pi 4 Model B"
WINDOW_S = 10.0


class Watched:
    """One drawn camera with its own clock."""

    def __init__(self, *scenes: Begins, seed: int = 1, faces_per_s: float = 2.0) -> None:
        self.now = NOON
        chance = random.Random(seed)  # noqa: S311
        self.camera = DrawnCamera(
            "cam", BOARD, session=1, behaviours={}, chance=chance,
            gauges=DrawnGauges(random.Random(seed), BOARD, NOON),  # noqa: S311
            effect=lambda now: effect_of(scenes, now - NOON), faces_per_s=faces_per_s, now=lambda: self.now,
            answered=lambda _: None, failed=lambda _model, _why: None,
        )  # fmt: skip
        self.camera.activate(tiny(1).manifest)

    def windows(self, count: int) -> list[Telemetry]:
        made = []
        for _ in range(count):
            self.now += WINDOW_S
            self.camera.watch()
            made.append(decode(encode(self.camera.window()), Telemetry))
        return made


def mean(windows: list[Telemetry], gauge: DeviceGauge) -> float:
    return sum(window.gauges[gauge] for window in windows) / len(windows)


def test_every_gauge_that_a_device_can_send_is_sent_but_those_of_a_spool() -> None:
    last = Watched().windows(3)[-1]
    assert set(DeviceGauge) - set(last.gauges) == {DeviceGauge.SPOOL_BYTES, DeviceGauge.SPOOL_ROWS}


def test_tracks_are_cumulative_one_a_face_and_begin_anew_with_another_model() -> None:
    watched = Watched()
    first, second = watched.windows(2)
    assert first.tracks is not None
    assert second.tracks is not None
    count = lambda window: sum(sum(answers.counts) for answers in window.tracks.answers.values())  # noqa: E731
    assert 0 < count(first) < count(second) == second.counters["faces"]
    watched.camera.activate(tiny(2).manifest)
    (third,) = watched.windows(1)
    assert third.tracks is not None
    assert third.tracks.model == tiny(2).manifest.ref
    assert 0 < count(third) < count(second)


def test_the_same_seed_sends_the_same_windows() -> None:
    assert Watched(seed=3).windows(4) == Watched(seed=3).windows(4) != Watched(seed=4).windows(4)


@pytest.mark.parametrize(
    ("scene", "gauge", "low", "high"),
    [
        (Scene.DARK, DeviceGauge.BRIGHTNESS, 0.0, 0.5),
        (Scene.BRIGHT, DeviceGauge.BRIGHTNESS, 1.5, 3.0),
        (Scene.BLURRED, DeviceGauge.FACE_SHARPNESS, 0.0, 0.5),
        (Scene.FAR, DeviceGauge.FACE_PIXELS, 0.0, 0.5),
        (Scene.HOT, DeviceGauge.TEMPERATURE_CELSIUS, 1.3, 2.0),
    ],
)
def test_a_scene_is_seen_in_the_gauge_it_is_about_and_a_sound_camera_beside_it_is_not(
    scene: Scene, gauge: DeviceGauge, low: float, high: float
) -> None:
    sound, wrong = Watched().windows(20), Watched(Begins(scene)).windows(20)
    assert low < mean(wrong, gauge) / mean(sound, gauge) < high
    others = {DeviceGauge.SHARPNESS} if scene is not Scene.BLURRED else {DeviceGauge.BRIGHTNESS}
    for other in others:
        assert mean(wrong, other) == pytest.approx(mean(sound, other), rel=0.05)


def test_a_turned_camera_leans_and_a_sound_one_hangs_straight() -> None:
    assert abs(mean(Watched().windows(20), DeviceGauge.FACE_ROLL_DEGREES)) < 10
    assert mean(Watched(Begins(Scene.TURNED)).windows(20), DeviceGauge.FACE_ROLL_DEGREES) > 25


def test_a_covered_camera_finds_no_face_and_sends_no_gauge_of_faces() -> None:
    window = Watched(Begins(Scene.COVERED)).windows(5)[-1]
    assert window.gauges[DeviceGauge.FACELESS] == 1.0
    assert window.counters["faces"] == 0 < window.counters["frames"]
    assert DeviceGauge.FACE_BRIGHTNESS not in window.gauges


def test_a_frozen_picture_stays_the_very_same_and_says_for_how_long() -> None:
    first, *_, last = Watched(Begins(Scene.FROZEN)).windows(5)
    for gauge in (DeviceGauge.BRIGHTNESS, DeviceGauge.CONTRAST, DeviceGauge.SHARPNESS):
        assert first.gauges[gauge] == last.gauges[gauge]
    assert last.gauges[DeviceGauge.FROZEN_SECONDS] == pytest.approx(4 * WINDOW_S)


def test_only_what_ends_soon_and_what_waits_long_are_changed_by_their_scenes() -> None:
    gone = Watched(Begins(Scene.EXPIRING), Begins(Scene.LAGGING)).windows(3)[-1]
    sound = Watched().windows(3)[-1]
    for gauge in (DeviceGauge.CERTIFICATE_EXPIRES, DeviceGauge.TRUST_EXPIRES):
        assert gone.gauges[gauge] < NOON + 4 * 86400 < sound.gauges[gauge]
    assert gone.gauges[DeviceGauge.ACK_LAG_SECONDS] == pytest.approx(2 * WINDOW_S)
    assert sound.gauges[DeviceGauge.ACK_LAG_SECONDS] == 0


def test_a_scene_begins_at_its_time_and_several_act_together() -> None:
    scenes = (Begins(Scene.DARK, 60.0), Begins(Scene.TURNED))
    assert effect_of(scenes, 59.0) == EFFECTS[Scene.TURNED]
    assert effect_of(scenes, 60.0) == Effect(brightness=0.25, contrast=0.35, roll_degrees=35.0, harder=0.4)
    assert effect_of((), 60.0) == SOUND


def test_a_scene_is_drawn_for_its_share_of_devices_whatever_is_beside_it() -> None:
    dark, hot = Spread(Scene.DARK, 0.3), Spread(Scene.HOT, 0.5, 5.0)
    alone = mix.sites(200, "shop", trouble=Trouble(scenes=(dark,)), seed=2)
    both = mix.sites(200, "shop", trouble=Trouble(scenes=(hot, dark)), seed=2)
    named = [Begins(Scene.DARK) in site.scenes for site in alone]
    assert named == [Begins(Scene.DARK) in site.scenes for site in both]
    assert sum(named) / 200 == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    ("text", "spread"),
    [("dark:5%", Spread(Scene.DARK, 0.05)), ("frozen:0.5:10m", Spread(Scene.FROZEN, 0.5, 600.0))],
)
def test_a_scene_is_written_with_its_share_and_its_time(text: str, spread: Spread) -> None:
    assert parse_scene(text) == spread


@pytest.mark.parametrize(
    "text", ["", "dark", "odd:5%", "dark:200%", "dark:5%:soon", "dark:5%:10m:1", "dark:nan", "\x1b:5%"]
)
def test_what_is_no_scene_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_scene(text)
    assert "\x1b" not in str(refused.value)
