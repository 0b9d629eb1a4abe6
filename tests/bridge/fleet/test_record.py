"""A device's record: sessions supersede, totals only grow."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import Kind, Rule, conditions
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState, Key, Outcome
from edge_bridge.metrics.exposition import write
from edge_contract import shared_id
from edge_contract.messages import Availability, Histogram, ModelRef
from tests.bridge.publisher import MODEL, info, prediction, reported, telemetry


def _fleet(**limits: int) -> FleetState:
    return FleetState(LimitSettings(**limits), MetricSettings())


def _said(state: Any, session: int) -> Availability:
    return Availability(state=state, session=session)


@pytest.mark.parametrize(
    ("what", "said", "presence", "session"),
    [
        ("online", [("online", 5)], "online", 5),
        ("its last will", [("online", 5), ("offline", 5)], "offline", 5),
        ("an old will cannot bury a new session", [("online", 5), ("online", 6), ("offline", 5)], "online", 6),
        ("nor an old farewell", [("online", 6), ("stopped", 5)], "online", 6),
        ("the will of a session never seen online", [("offline", 5)], "offline", 5),
        ("a repeated greeting of a superseded session", [("online", 5), ("online", 6), ("online", 5)], "online", 6),
        ("a wiped device whose clock is behind", [("online", 900), ("online", 3)], "online", 3),
        ("whose former will comes late", [("online", 900), ("online", 3), ("offline", 900)], "online", 3),
    ],
)
def test_presence(what: str, said: list[tuple[str, int]], presence: str, session: int) -> None:
    fleet = _fleet()
    for state, number in said:
        fleet.apply("cam", _said(state, number), 100.0)
    assert (fleet.devices["cam"].presence, fleet.devices["cam"].session) == (presence, session), what


def test_two_devices_of_one_id_are_seen_as_such_until_one_is_given_another() -> None:
    """Each comes back with the session it has; one device that restarts has a new one each time."""
    fleet = _fleet()
    for number, session in enumerate((5, 6, 7)):
        fleet.apply("cam", _said("online", session), 100.0 + number)
        fleet.apply("cam", _said("offline", session), 100.0 + number)
    device = fleet.devices["cam"]
    assert not record.is_shared(device, 103.0)
    assert "id_shared" not in write([device], {}, 103.0, 60.0)
    fleet.apply("cam", _said("online", 6), 160.0)
    device = fleet.devices["cam"]
    assert record.is_shared(device, 170.0)
    assert 'edgewise_device_id_shared{site="",device="cam"} 1' in write([device], {}, 170.0, 60.0)
    assert Kind.SHARED in {each.kind for each in conditions(device, 170.0, Rule(60.0, 1.0))}
    assert (device.session, device.presence) == (7, "offline")
    assert not record.is_shared(device, 160.0 + shared_id.LIFE_S + 1)


def test_a_message_of_a_new_session_means_the_device_is_there() -> None:
    fleet = _fleet()
    fleet.apply("cam", _said("offline", 5), 100.0)
    fleet.apply("cam", prediction("cam", (6, 1)), 101.0)
    assert fleet.devices["cam"].presence == "online"


def test_a_late_message_of_an_offline_device_does_not_bring_it_back() -> None:
    fleet = _fleet()
    fleet.apply("cam", _said("online", 5), 100.0)
    fleet.apply("cam", _said("offline", 5), 101.0)
    fleet.apply("cam", telemetry("cam", (5, 9), 10), 102.0)
    assert fleet.devices["cam"].presence == "offline"


def test_a_silent_device_is_not_up() -> None:
    fleet = _fleet()
    fleet.apply("cam", _said("online", 5), 100.0)
    assert record.up(fleet.devices["cam"], 150.0, silent_after=60)
    assert not record.up(fleet.devices["cam"], 161.0, silent_after=60)


def test_a_restart_bends_no_total() -> None:
    fleet, seen = _fleet(), []
    for session, sequence, frames in [(5, 1, 100), (5, 2, 250), (6, 3, 40), (6, 4, 90)]:
        fleet.apply("cam", telemetry("cam", (session, sequence), frames), 100.0)
        seen.append(fleet.devices["cam"].counters["frames"])
    assert seen == [100, 250, 290, 340]
    assert sum(fleet.sums[Key("home", "emotion-2")].stages["whole"].counts) == 340


def test_a_lost_window_is_made_up_by_the_next() -> None:
    fleet = _fleet()
    for sequence, frames in [(1, 100), (3, 300)]:
        fleet.apply("cam", telemetry("cam", (5, sequence), frames), 100.0)
    assert fleet.devices["cam"].counters["frames"] == 300


def test_repeated_and_overtaken_windows_count_once() -> None:
    fleet = _fleet()
    outcomes = [
        fleet.apply("cam", telemetry("cam", (5, sequence), frames), 100.0)
        for sequence, frames in [(1, 100), (2, 200), (1, 100), (2, 200)]
    ]
    assert outcomes == [Outcome.APPLIED, Outcome.APPLIED, Outcome.REPEATED, Outcome.REPEATED]
    assert fleet.devices["cam"].counters["frames"] == 200


def test_windows_of_the_former_run_that_come_late_are_counted_once() -> None:
    """A device was away for an hour, restarted, and its spool now delivers what the former run counted."""
    fleet = _fleet()
    fleet.apply("cam", telemetry("cam", (5, 1), 100), 100.0)
    fleet.apply("cam", _said("online", 6), 200.0)
    for session, sequence, frames in [(5, 2, 180), (6, 4, 50), (5, 3, 220), (5, 2, 180), (6, 5, 60)]:
        fleet.apply("cam", telemetry("cam", (session, sequence), frames), 201.0)
    assert fleet.devices["cam"].counters["frames"] == 220 + 60


def test_gauges_are_those_of_the_running_session() -> None:
    fleet = _fleet()
    fleet.apply("cam", _said("online", 6), 200.0)
    fleet.apply("cam", telemetry("cam", (6, 4), 50, gauges={"fps": 20.0}), 201.0)
    fleet.apply("cam", telemetry("cam", (5, 3), 220, gauges={"fps": 3.0}), 202.0)
    assert fleet.devices["cam"].gauges == {"fps": 20.0}


def test_a_change_of_model_leaves_what_the_former_counted() -> None:
    fleet, newer = _fleet(), ModelRef(name="emotion", release=3, digest="cd" * 32)
    fleet.apply("cam", telemetry("cam", (5, 1), 100), 100.0)
    fleet.apply("cam", telemetry("cam", (5, 2), 160, model=newer), 100.0)
    assert {key.model: sum(each.stages["whole"].counts) for key, each in fleet.sums.items()} == {
        "emotion-2": 100,
        "emotion-3": 60,
    }
    assert fleet.devices["cam"].emotions == {"emotion-2": {"happy": 100}, "emotion-3": {"happy": 60}}


def test_records_keep_a_bounded_number_of_models_and_labels() -> None:
    fleet = _fleet(emotions=3)
    for release in range(1, 10):
        model = ModelRef(name="emotion", release=release, digest="cd" * 32)
        labels = {f"label-{index}": 10 * release for index in range(20)}
        fleet.apply("cam", telemetry("cam", (5, release), 10, model=model, emotions=labels), 100.0)
    kept = fleet.devices["cam"].emotions
    assert list(kept) == ["emotion-6", "emotion-7", "emotion-8", "emotion-9"]
    assert kept["emotion-9"] == {"label-0": 10, "label-1": 10, "label-2": 10, "other": 170}


def test_devices_past_the_limit_are_refused_and_known_ones_are_not() -> None:
    fleet = _fleet(devices=2)
    outcomes = [fleet.apply(name, _said("online", 1), 1.0) for name in ("a", "b", "c", "a")]
    assert outcomes == [Outcome.APPLIED, Outcome.APPLIED, Outcome.REFUSED_DEVICE, Outcome.APPLIED]


def test_sites_and_models_past_the_limit_share_one_sum() -> None:
    fleet = _fleet(series_groups=2)
    for index in range(5):
        fleet.apply(f"cam-{index}", telemetry(f"cam-{index}", (1, 1), 10, site=f"site-{index}"), 1.0)
    assert {key.site: sum(each.stages["whole"].counts) for key, each in fleet.sums.items()} == {
        "site-0": 10,
        "site-1": 10,
        "other": 30,
    }


def test_a_histogram_with_other_buckets_is_refused() -> None:
    wrong = {"whole": Histogram(counts=(1, 2, 3), sum=1.0)}
    assert _fleet().apply("cam", telemetry("cam", (1, 1), 1, stages=wrong), 1.0) is Outcome.REFUSED_SHAPE


def test_reports_of_a_superseded_session_are_ignored() -> None:
    fleet = _fleet()
    for session in (5, 6):
        fleet.apply("cam", _said("online", session), 1.0)
        fleet.apply("cam", info("cam", session, site=f"site-{session}"), 1.0)
    outcomes = {
        fleet.apply("cam", info("cam", 5), 1.0),
        fleet.apply("cam", reported("cam", 5), 1.0),
    }
    assert outcomes == {Outcome.REPEATED}
    assert fleet.devices["cam"].site == "site-6"


def test_changes_are_taken_once_and_again_when_they_could_not_be_stored() -> None:
    fleet = _fleet()
    fleet.apply("cam", telemetry("cam", (5, 1), 100), 1.0)
    changes = fleet.take_changes()
    assert set(changes.devices) == {"cam"}
    assert set(changes.sums) == {("home", "emotion-2")}
    assert fleet.take_changes() == ({}, {})
    fleet.put_back(changes)
    fleet.apply("cam", telemetry("cam", (5, 2), 150), 1.0)
    kept = fleet.take_changes().devices["cam"]
    assert kept is not None
    assert kept.counters["frames"] == 150


def test_a_forgotten_device_is_a_change_and_may_come_back() -> None:
    fleet = _fleet()
    fleet.apply("cam", telemetry("cam", (5, 1), 100), 1.0)
    fleet.take_changes()
    fleet.forget("never-seen")
    fleet.forget("cam")
    changes = fleet.take_changes()
    assert changes.devices == {"cam": None}
    fleet.put_back(changes)
    assert fleet.take_changes().devices == {"cam": None}
    fleet.apply("cam", info("cam", 6), 2.0)
    assert fleet.take_changes().devices["cam"] == fleet.devices["cam"]


def test_windows_of_unseen_runs_do_not_push_out_the_one_that_is_on() -> None:
    """They come late and in any order; each is counted once, and the run that is on goes on from where it was."""
    fleet = _fleet()
    for session, sequence, frames in [(5, 50, 10), (4, 40, 7), (3, 30, 5), (5, 51, 12), (4, 41, 9), (3, 31, 6)]:
        fleet.apply("cam", telemetry("cam", (session, sequence), frames), 1.0)
    assert fleet.devices["cam"].counters["frames"] == 12 + 7 + 6


def test_a_device_that_was_long_without_its_broker_is_counted_over_all_its_runs() -> None:
    """Its newest run connects, then the spool delivers those before, in order; a repetition of any counts nothing."""
    fleet = _fleet()
    fleet.apply("cam", _said("online", 40), 1.0)
    late = [telemetry("cam", (session, session * 10 + n), 3 * (n + 1)) for session in range(1, 40) for n in range(2)]
    for each in [*late, *late]:
        fleet.apply("cam", each, 1.0)
    assert fleet.devices["cam"].counters["frames"] == 39 * 6


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=25),
    st.sampled_from([4, 40]),
    st.randoms(),
)
def test_totals_never_shrink_and_never_exceed_what_was_counted(
    runs: list[tuple[int, int]], overtaken: int, random: Any
) -> None:
    """Any number of restarts, losses, repetitions and overtakings."""
    sequence, frames, windows = 0, 0, []
    for session, (length, gain) in enumerate(runs, start=1):
        frames = 0
        for _ in range(length):
            sequence, frames = sequence + 1, frames + gain
            windows.append(telemetry("cam", (session, sequence), frames))
    arrived = [each for each in windows if random.random() < 0.8]
    arrived += [each for each in arrived if random.random() < 0.2]
    arrived.sort(key=lambda each: each.sequence + random.uniform(0, overtaken))
    fleet, before = _fleet(), 0
    for each in arrived:
        fleet.apply("cam", each, 1.0)
        total = fleet.devices["cam"].counters.get("frames", 0)
        assert total >= before
        before = total
    assert before <= sum(length * gain for length, gain in runs)


def test_the_model_is_the_one_reported_or_else_measured() -> None:
    fleet = _fleet()
    fleet.apply("cam", telemetry("cam", (5, 1), 1), 1.0)
    assert fleet.devices["cam"].active == MODEL
    newer = ModelRef(name="emotion", release=3, digest="cd" * 32)
    fleet.apply("cam", reported("cam", 5, active=newer), 1.0)
    assert fleet.devices["cam"].active == newer
    assert record.short(None) == "none"
    assert Device(id="x").active is None


def test_a_device_that_invents_names_costs_itself_alone() -> None:
    fleet = _fleet(counters=5, emotions=3)
    for window in range(1, 40):
        made_up = {f"counter-{window}-{each}": window for each in range(4)} | {"frames": window}
        gauges = {f"gauge-{window}-{each}": 1.0 for each in range(4)} | {"fps": 9.0}
        message = telemetry("cam", (5, window), window, counters=made_up, gauges=gauges)
        assert fleet.apply("cam", message, 100.0) is Outcome.APPLIED
    device = fleet.devices["cam"]
    assert len(device.counters) == 5
    assert device.counters["frames"] == 39  # it was among the first
    assert len(device.readings) == 5
    assert device.gauges == {"fps": 9.0}
    assert fleet.passed["counters"] == 38 * 4
    assert fleet.passed["gauges"] == 39 * 4 - 5
    fleet.apply("honest", telemetry("honest", (5, 1), 7), 100.0)
    assert fleet.devices["honest"].counters["frames"] == 7


def test_a_device_that_invents_sites_pushes_no_honest_site_into_other() -> None:
    fleet = _fleet(series_groups=20, sites=3, groups_per_device=6, label_changes=1000)
    for window in range(1, 100):
        site, model = f"site-{window}", ModelRef(name="emotion", release=window, digest="ab" * 32)
        fleet.apply("rogue", info("rogue", 5, site=site), 100.0)
        fleet.apply("rogue", telemetry("rogue", (5, window), window, site=site, model=model), 100.0)
    assert fleet.devices["rogue"].site == "other"
    assert len(fleet.devices["rogue"].sites) == 3
    assert len(fleet.sums) == 7
    assert sum(sum(each.confidence.counts) for each in fleet.sums.values() if each.confidence) == 99
    fleet.apply("honest", telemetry("honest", (5, 1), 7), 100.0)
    assert Key("home", "emotion-2") in fleet.sums
    assert fleet.passed["sites"] == 2 * 96
    assert fleet.passed["groups"] == 99 - 6


def test_a_device_joins_the_groups_of_others_without_a_limit() -> None:
    fleet = _fleet(groups_per_device=1)
    for number in range(1, 5):
        model = ModelRef(name="emotion", release=number, digest="ab" * 32)
        fleet.apply(f"first-{number}", telemetry(f"first-{number}", (5, 1), 3, model=model), 100.0)
        fleet.apply("cam", telemetry("cam", (5, number), 3 * number, model=model), 100.0)
    assert set(fleet.sums) == {Key("home", f"emotion-{number}") for number in range(1, 5)}
    assert fleet.devices["cam"].groups == 0


def test_stages_that_there_are_not_make_no_series_of_a_device() -> None:
    fleet = FleetState(LimitSettings(), MetricSettings(per_device=("cam",)))
    stages = {f"made-up-{each}": Histogram(counts=(0,) * 19, sum=0.0) for each in range(9)}
    fleet.apply("cam", telemetry("cam", (5, 1), 3, stages=stages), 100.0)
    assert fleet.devices["cam"].stages == {"emotion-2": {}}
