"""The fleet's drift: what changes is found with its cause, what does not stays quiet, and an alarm ends."""

from collections.abc import Callable, Mapping

import pytest

from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.view import Alarm
from edge_bridge.drift.watch import COMPARE_S, Drift, Place
from edge_bridge.web.dashboard import device_facts
from edge_contract.manifest import Reference
from tests.bridge.drift.people import LIGHT, MONDAY, Camera
from tests.bridge.publisher import MODEL

SETTINGS = DriftSettings(commission_tracks=150, commission_hours=12.0)
MIX = {"happy": 3.0, "neutral": 5.0, "sad": 2.0}
SURE = {4: 1.0, 6: 2.0, 8: 3.0, 9: 4.0}
UNSURE = {3: 3.0, 4: 4.0, 5: 2.0, 9: 1.0}
LEARNING = 300


def no_card(_digest: str) -> Reference | None:
    return None


def at_home(_device: str) -> Place:
    return Place("home", "all")


def watch(
    drift: Drift,
    camera: Camera,
    tracks: int,
    mix: Mapping[str, float] = MIX,
    buckets: Mapping[int, float] = SURE,
    gauges: Mapping[str, float] = LIGHT,
    until: Callable[[], object] = lambda: False,
) -> int:
    """Windows of one camera, until something holds; how many."""
    for number in range(tracks):
        drift.observe(camera.window(mix, buckets, gauges))
        if number % 8 == 0 and until():
            return number
    return tracks


def learned(name: str = "cam", seed: int = 1, drift: Drift | None = None) -> tuple[Drift, Camera]:
    drift, camera = drift or Drift(SETTINGS, no_card, at_home), Camera(name, seed)
    watch(drift, camera, LEARNING)
    return drift, camera


def test_a_room_that_stays_as_it_is_raises_no_alarm() -> None:
    drift, camera = learned()
    assert watch(drift, camera, 1500, until=drift.alarms) == 1500
    shown = drift.of("cam")
    assert shown is not None
    assert shown.frozen
    assert shown.learned >= 150
    assert shown.mix["neutral"] == pytest.approx(0.5, abs=0.12)
    assert shown.evidence["baseline"] < 1


@pytest.mark.parametrize(
    ("mix", "buckets", "gauges", "cause"),
    [
        ({"neutral": 9.0, "happy": 1.0}, SURE, LIGHT, "answers"),
        (MIX, UNSURE, LIGHT | {"face_brightness": 0.1, "brightness": 0.1}, "dark"),
        (MIX, UNSURE, LIGHT | {"face_sharpness": 0.2}, "blurred"),
        ({"sad": 1.0}, UNSURE, LIGHT | {"face_roll_degrees": 60.0}, "turned"),
    ],
)
def test_a_change_is_found_and_its_cause_named(
    mix: dict[str, float], buckets: dict[int, float], gauges: dict[str, float], cause: str
) -> None:
    drift, camera = learned()
    assert watch(drift, camera, 600, mix, buckets, gauges, until=drift.alarms) < 600
    (alarm,) = drift.alarms()
    assert (alarm.device, alarm.site, alarm.model, alarm.reference) == ("cam", "home", MODEL, "baseline")
    assert alarm.cause == cause
    assert alarm.effect >= SETTINGS.least_effect
    assert drift.of("cam").alarms == (alarm,)  # type: ignore[union-attr]


def test_what_begins_in_hours_that_were_not_learned_yet_is_not_taken_for_usual() -> None:
    drift, camera = learned()
    camera.time = MONDAY + 5 * 86400  # the first weekend, with fewer faces than its baseline wants
    slightly = {3: 2.0, 4: 3.0, 6: 2.0, 8: 2.0, 9: 3.0}  # so that many are met before it is found
    bright = LIGHT | {"face_brightness": 0.75, "brightness": 0.75}
    assert watch(drift, camera, 1200, MIX, slightly, bright, until=drift.alarms) < 1200
    assert [each.cause for each in drift.alarms()] == ["bright"]


def test_an_alarm_ends_when_its_evidence_is_gone() -> None:
    drift, camera = learned()
    watch(drift, camera, 600, MIX, UNSURE, until=drift.alarms)
    assert drift.alarms()
    assert watch(drift, camera, 1000, until=lambda: not drift.alarms()) < 1000


def test_learning_again_ends_an_alarm_and_takes_the_new_mix_for_usual() -> None:
    drift, camera = learned()
    other = {"neutral": 1.0, "happy": 9.0}
    watch(drift, camera, 600, other, until=drift.alarms)
    assert drift.relearn("cam")
    assert not drift.relearn("unheard-of")
    drift.take_round(0.0)
    assert drift.alarms() == []
    assert drift.of("cam").learned == 0  # type: ignore[union-attr]
    assert watch(drift, camera, 800, other, until=drift.alarms) == 800


def test_many_devices_that_change_at_once_are_a_change_of_the_fleet() -> None:
    drift = Drift(SETTINGS, no_card, at_home)
    cameras = [learned(f"cam-{number}", number, drift)[1] for number in range(4)]
    other = {"neutral": 9.0, "happy": 1.0}
    for number, camera in enumerate(cameras[:3]):

        def changed(name: str = f"cam-{number}") -> bool:
            return any(each.device == name for each in drift.alarms())

        watch(drift, camera, 600, other, until=changed)
        if number == 0:
            assert [each.cause for each in drift.alarms()] == ["answers"]
    assert [each.cause for each in drift.alarms()] == ["fleet"] * 3
    assert all("many devices" in each.sentence for each in drift.alarms())


def test_the_one_that_is_less_sure_than_its_group_is_told_before_its_own_baseline_is_learned() -> None:
    slow = DriftSettings(commission_tracks=5000)
    drift = Drift(slow, no_card, at_home)
    cameras = [Camera(f"cam-{number}", number) for number in range(7)]
    for camera in cameras:
        watch(drift, camera, 150, buckets=UNSURE if camera is cameras[3] else SURE)
    for number in range(3):
        drift.take_round(number * COMPARE_S + 1)
    for camera in cameras:
        watch(drift, camera, 300, buckets=UNSURE if camera is cameras[3] else SURE)
    assert [(each.device, each.reference) for each in drift.alarms()] == [("cam-3", "peers")]


def test_a_camera_less_sure_than_test_pictures_is_told_from_the_first_day_and_a_surer_one_never() -> None:
    row = (0, 0, 0, 5, 20, 20, 30, 40, 60, 125)
    card = Reference(by_label=dict.fromkeys(MIX, row), right=dict.fromkeys(MIX, row))
    drift = Drift(SETTINGS, lambda _digest: card, at_home)
    bad, good = Camera("bad"), Camera("good", 2)
    watch(drift, bad, 140, buckets={2: 1.0, 3: 1.0, 4: 1.0})
    watch(drift, good, 140, buckets={9: 1.0})
    assert [(each.device, each.reference) for each in drift.alarms()] == [("bad", "manifest")]


def test_only_judged_and_new_and_forgotten_devices_are_stored() -> None:
    drift, camera = Drift(SETTINGS, no_card, at_home), Camera()
    watch(drift, camera, 1)
    assert drift.take_changes().keys() == {"cam"}
    watch(drift, camera, 2)
    assert drift.take_changes() == {}
    watch(drift, camera, 12)
    changes = drift.take_changes()
    assert changes.keys() == {"cam"}
    drift.put_back(changes)
    assert drift.take_changes() == changes
    drift.forget("cam")
    assert drift.take_changes() == {"cam": None}
    assert drift.of("cam") is None


def test_alarms_are_listed_oldest_first() -> None:
    drift = Drift(SETTINGS, no_card, at_home)
    for number in range(2):
        _, camera = learned(f"cam-{number}", number, drift)
        watch(drift, camera, 160, {"sad": 1.0}, UNSURE)
    found: list[Alarm] = drift.alarms()
    assert [each.since for each in found] == sorted(each.since for each in found)
    assert len(found) == 2


@pytest.mark.parametrize(("pictures", "comparable"), [(0, False), (9, False), (10, True)])
def test_a_release_that_few_test_pictures_speak_for_is_said_to_be_compared_with_none(
    pictures: int, comparable: bool
) -> None:
    by_label = dict.fromkeys(("happy", "sad"), (0, 0, 0, pictures, 0, pictures, 0, pictures, 0, 2 * pictures))
    card = Reference(predictions={}, confidence=(), by_label=by_label) if pictures else None
    drift, _ = learned(drift=Drift(SETTINGS, lambda _: card, at_home))
    found = drift.of("cam")
    assert found is not None
    assert (found.comparable, "manifest" in found.evidence) == (comparable, comparable)
    said = [text for name, text in device_facts.drift(found) if name == "Against the test pictures"]
    assert [text.startswith("not compared") for text in said] == [not comparable]
