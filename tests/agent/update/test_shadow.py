"""Waves on a real broker: a device that goes into shadow, comes out of it either way, and what it says meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import pytest

from edge_agent.update import hold
from edge_agent.update.hold import Hold
from edge_agent.update.probation import SHADOW_FAILURES
from edge_agent.update.work import Challenger
from edge_contract.errors import UsageError
from edge_contract.wave import ShadowTerms
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import DEVICE, FIXTURES, Device, ReleaseSide, eventually, quick_waits, tiny
from tests.mqtt.ejabberd import BROKERS, Ejabberd, account_of

ONE, TWO = tiny(1).manifest.ref, tiny(2).manifest.ref
Start = Callable[..., Device]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_waits(monkeypatch)


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker | Ejabberd]:
    with request.param(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def side(tmp_path: Path, broker: Broker | Ejabberd) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port, account=account_of(broker, "release"))


@pytest.fixture
def start(tmp_path: Path, broker: Broker | Ejabberd, side: ReleaseSide) -> Iterator[Start]:
    """A device that was installed with tiny 1, which the group runs."""
    with ExitStack() as stack:

        def started(**how: object) -> Device:
            root = side.repository.first_root()
            how = {"factory": FIXTURES / "tiny-1.ewm", "account": account_of(broker, "camera"), **how}
            device = Device(tmp_path / "device", broker.port, root, **how)  # type: ignore[arg-type]
            return stack.enter_context(device)

        yield started


def states(device: Device) -> list[str]:
    return [str(state) for state, _ in groupby(report.state for report in device.reports) if state != "idle"]


def test_a_wave_in_shadow_then_active_runs_the_release_after_one_download(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow")
    reported = device.until("shadowing")
    assert (reported.active, reported.target, reported.reason) == (ONE, TWO, "")
    assert device.beside == [TWO]
    assert device.activated == [ONE]
    side.wave(tiny(1), tiny(2), "active")
    reported = device.until("committed")
    assert (reported.active, device.running) == (TWO, TWO.digest)
    assert device.beside == [TWO, None]
    walk = states(device)
    assert walk[walk.index("shadowing") :] == [
        "shadowing", "staged", "selftest", "activating", "probation", "committed"
    ]  # fmt: skip
    assert walk.count("downloading") == 1


def test_a_wave_that_ends_in_shadow_leaves_what_ran_and_nothing_else(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    side.push(tiny(1))
    reported = device.until("committed")
    assert (reported.active, reported.target) == (ONE, ONE)
    assert device.beside == [TWO, None]
    assert device.activated == [ONE]
    assert not list((device.directory / "slots").iterdir())


def test_a_device_that_takes_no_part_runs_the_rest(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(2), tiny(1), "shadow", share=0.0)
    assert device.until("committed").active == TWO
    assert device.beside == []


def test_a_device_that_lags_behind_first_comes_to_run_what_it_is_to_compare_with(
    side: ReleaseSide, start: Start
) -> None:
    device = start()
    other = side.wave(tiny(2), tiny(1), "shadow")
    reported = device.until("shadowing")
    assert (reported.active, reported.target) == (TWO, other)
    assert device.activated == [ONE, TWO]


def test_a_release_that_is_withdrawn_in_shadow_is_rejected_without_blame(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    side.releases.withdraw(TWO.name, TWO.release)
    with side.publisher() as publisher:
        publisher.metadata()
    reported = device.until("rejected", "not among the listed")
    assert reported.active == ONE
    assert device.beside == [TWO, None]
    assert device.store.failure(TWO.digest, "test") is None


def test_new_metadata_alone_do_not_interrupt_a_shadow(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    seen = device.store.seen()["metadata"]
    side.repository.refresh()
    with side.publisher() as publisher:
        publisher.metadata()
    eventually(lambda: device.store.seen()["metadata"] != seen, "the new metadata")
    assert device.reported.state == "shadowing"
    assert device.beside == [TWO]


def test_other_terms_begin_another_comparison_of_the_same_two(side: ReleaseSide, start: Start) -> None:
    spacings = []
    device = start(on_shadow=lambda given: spacings.append(given and given.terms.spacing))
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    side.wave(tiny(1), tiny(2), "shadow", shadow=ShadowTerms(spacing=1.0))
    eventually(lambda: len(spacings) > 1, "the other terms")
    assert spacings == [10.0, 1.0]


def test_a_challenger_that_answers_nothing_is_rejected_and_not_tried_again(side: ReleaseSide, start: Start) -> None:
    device = start(feed=False)
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    for _ in range(SHADOW_FAILURES - 1):
        device.updates.model_failed(TWO, "what is no number")
    device.updates.answered(TWO)
    for _ in range(SHADOW_FAILURES - 1):
        device.updates.model_failed(TWO, "what is no number")
    time.sleep(0.2)
    assert device.reported.state == "shadowing"
    device.updates.model_failed(TWO, "what is no number")
    reported = device.until("rejected", f"failed on {SHADOW_FAILURES} faces in a row (what is no number): rejected.")
    assert reported.active == ONE
    side.wave(tiny(1), tiny(2), "active")
    device.until("rejected", "failed on this device before")
    assert device.activated == [ONE]


@pytest.mark.parametrize("error", [UsageError("it does not fit."), RuntimeError("boom"), MemoryError()])
def test_a_challenger_that_the_pipeline_does_not_take_is_rejected(
    side: ReleaseSide, start: Start, error: Exception
) -> None:
    def object_to(challenger: Challenger | None) -> None:
        if challenger is not None:
            raise error

    device = start(on_shadow=object_to)
    side.wave(tiny(1), tiny(2), "shadow")
    assert device.until("rejected").active == ONE
    assert device.store.failure(TWO.digest, "test") is not None


def test_a_challenger_damaged_on_the_disk_is_fetched_again_at_the_next_start(
    tmp_path: Path, side: ReleaseSide, start: Start, broker: Broker
) -> None:
    root, factory, account = side.repository.first_root(), FIXTURES / "tiny-1.ewm", account_of(broker, "camera")
    with Device(tmp_path / "other", broker.port, root, factory=factory, account=account) as device:
        side.wave(tiny(1), tiny(2), "shadow")
        device.until("shadowing")
    (slot,) = (device.directory / "slots").iterdir()
    (slot / "model.tflite").write_bytes(b"\0" + tiny(2).model[1:])
    with Device(tmp_path / "other", broker.port, root, factory=factory, account=account) as device:
        eventually(lambda: "downloading" in states(device), "the download")
        device.until("shadowing")
        assert device.beside == [TWO]


def test_what_a_device_reached_and_when_is_kept_through_a_restart(
    tmp_path: Path, side: ReleaseSide, broker: Broker
) -> None:
    root, factory, account = side.repository.first_root(), FIXTURES / "tiny-1.ewm", account_of(broker, "camera")
    began = time.time()
    with Device(tmp_path / "other", broker.port, root, factory=factory, account=account) as device:
        side.wave(tiny(1), tiny(2), "shadow")
        first = device.until("shadowing")
    assert began <= first.since <= time.time()
    with Device(tmp_path / "other", broker.port, root, factory=factory, account=account) as device:
        again = device.until("shadowing")
        assert again.since == first.since
        assert again.session > first.session
        eventually(lambda: device.beside == [TWO], "the challenger again")
        side.wave(tiny(1), tiny(2), "active")
        committed = device.until("committed")
        assert committed.since > first.since


def test_a_wave_on_a_devices_own_state_is_refused_and_said(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow", scope=f"device/{DEVICE}")
    device.until_reason("carries a wave, which means nothing for one device")
    assert device.beside == []


def test_a_rollback_asked_for_in_shadow_ends_it_and_is_not_undone_by_the_wave(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.push(tiny(2))
    device.until("committed")
    side.wave(tiny(2), tiny(1), "shadow")
    device.until("shadowing")
    device.updates.roll_back("asked for.")
    reported = device.until("rolled-back", "asked for.")
    assert (reported.active, reported.target) == (ONE, TWO)
    time.sleep(0.3)
    assert device.reported.state == "rolled-back"


# Holds and windows.


def test_a_held_device_downloads_and_waits_and_goes_on_when_it_is_let_go(side: ReleaseSide, start: Start) -> None:
    device = start()
    hold.write(device.directory, Hold(since=time.time(), reason="an event"))
    side.push(tiny(2))
    reported = device.until("staged", "waits: held on site (an event).")
    assert (reported.active, reported.progress) == (ONE, 1.0)
    assert "selftest" not in states(device)
    hold.write(device.directory, Hold(since=time.time(), reason="a longer one"))
    device.until("staged", "(a longer one)")
    hold.take_back(device.directory)
    assert device.until("committed").active == TWO


def test_a_hold_survives_a_restart_and_ends_by_itself(tmp_path: Path, side: ReleaseSide, broker: Broker) -> None:
    root, factory, account = side.repository.first_root(), FIXTURES / "tiny-1.ewm", account_of(broker, "camera")
    with Device(tmp_path / "other", broker.port, root, factory=factory, account=account) as device:
        hold.write(device.directory, Hold(since=time.time()))
        side.push(tiny(2))
        device.until("staged", "held on site")
    with Device(tmp_path / "other", broker.port, root, factory=factory, account=account) as device:
        device.until("staged", "held on site")
        hold.write(device.directory, Hold(since=time.time(), until=time.time() + 0.5))
        assert device.until("committed").active == TWO


def test_outside_of_its_window_a_device_waits_with_a_new_model_and_goes_on_with_one_in_shadow(
    side: ReleaseSide, start: Start, tmp_path: Path
) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    hold.write(device.directory, Hold(since=time.time()))
    side.repository.refresh()
    with side.publisher() as publisher:
        publisher.metadata()
    time.sleep(0.3)
    assert (device.reported.state, device.beside) == ("shadowing", [TWO])
    side.wave(tiny(1), tiny(2), "active")
    device.until("staged", "held on site")
    assert device.running == ONE.digest


def test_the_update_window_keeps_a_new_model_waiting(side: ReleaseSide, start: Start) -> None:
    hour = time.localtime().tm_hour
    closed = f"{(hour + 11) % 24:02}:00-{(hour + 13) % 24:02}:00"
    device = start(window=closed)
    side.push(tiny(2))
    device.until("staged", f"waits: outside of the update window {closed}.")
    assert device.running == ONE.digest


def test_the_way_back_to_the_model_before_does_not_wait(side: ReleaseSide, tmp_path: Path, broker: Broker) -> None:
    root, account = side.repository.first_root(), account_of(broker, "camera")
    with Device(tmp_path / "device", broker.port, root, account=account) as device:
        for release in (1, 2):
            side.push(tiny(release))
            eventually(lambda release=release: device.running == tiny(release).manifest.digest, "it runs")
            device.until("committed")
        hold.write(device.directory, Hold(since=time.time()))
        side.push(tiny(1))
        eventually(lambda: device.reported.active == ONE and device.reported.state == "committed", "the way back")


def test_a_wave_that_ends_while_held_ends_at_once(side: ReleaseSide, start: Start) -> None:
    device = start()
    side.wave(tiny(1), tiny(2), "shadow")
    device.until("shadowing")
    hold.write(device.directory, Hold(since=time.time()))
    side.push(tiny(1))
    assert device.until("committed").active == ONE
