"""From `release` to a running model over a real mosquitto, and what a device does when a step of it goes wrong."""

import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.models.selftest import COMMAND
from edge_agent.models.slots import ActiveModel
from edge_agent.update import updater
from edge_agent.update.store import StateStore
from edge_contract import topics
from edge_contract.errors import UsageError
from edge_contract.manifest import Budget, digest_of
from edge_contract.messages import Need, decode
from edge_contract.package import ModelPackage
from edge_fleet.devices.watch import answer_need
from edge_fleet.link import Arrived
from edge_fleet.releases import desired, repository
from edge_fleet.releases.repository import Repository
from edge_simulator.broker import Broker
from edge_vision.classifier import runtime
from tests.agent.update.update_bench import DEVICE, FIXTURES, GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.eventually import eventually


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_waits(monkeypatch)


@pytest.fixture
def device(tmp_path: Path, broker: Broker, side: ReleaseSide) -> Iterator[Device]:
    with Device(tmp_path / "device", broker.port, side.repository.first_root()) as running:
        yield running


@pytest.fixture
def equipped(tmp_path: Path, broker: Broker, side: ReleaseSide) -> Iterator[Device]:
    """A device that runs tiny 1 because it was installed with it."""
    root, factory = side.repository.first_root(), FIXTURES / "tiny-1.ewm"
    with Device(tmp_path / "device", broker.port, root, factory=factory) as running:
        yield running


def test_a_pushed_release_runs_and_a_second_one_replaces_it(side: ReleaseSide, device: Device) -> None:
    first = side.push(tiny(1))
    reported = device.until("committed")
    assert device.running == first.digest
    assert reported.active == reported.target == first
    states = [state for state, _ in groupby(report.state for report in device.reports)]
    assert [state for state in states if state != "idle"] == [
        "offered", "downloading", "verifying", "staged", "selftest", "activating", "probation", "committed"
    ]  # fmt: skip
    second = side.push(tiny(2))
    eventually(lambda: device.reported.active == second and device.reported.state == "committed", "the second")
    assert device.activated == [first, second]
    links = {name: (device.directory / name).resolve().name for name in ("current", "previous")}
    assert links["current"].startswith("tiny-2-")
    assert links["previous"].startswith("tiny-1-")


def test_a_release_of_the_same_file_with_corrected_labels_replaces_the_one_before(
    side: ReleaseSide, device: Device
) -> None:
    """What the answers mean stands in the manifest: the file alone is not the release."""
    first = side.push(tiny(1))
    device.until("committed")
    labels = tiny(1).manifest.labels[::-1]
    corrected = tiny(1)._replace(manifest=replace(tiny(1).manifest, release=2, labels=labels))
    second = side.push(corrected)
    eventually(lambda: device.reported.active == second and device.reported.state == "committed", "the second")
    assert first.digest == second.digest
    active = device.updates.active()
    assert active is not None
    assert active.manifest.labels == labels


def test_pushing_an_older_release_again_goes_back_to_it(side: ReleaseSide, device: Device) -> None:
    first = side.push(tiny(1))
    device.until("committed")
    side.push(tiny(2))
    eventually(lambda: device.running == tiny(2).manifest.digest, "the second runs")
    side.push(tiny(1))
    eventually(lambda: device.reported.active == first and device.reported.state == "committed", "the first again")


def test_a_devices_own_desired_state_overrides_its_groups_until_it_follows_again(
    side: ReleaseSide, device: Device
) -> None:
    own = side.push(tiny(1), f"device/{DEVICE}")
    device.until("committed")
    group = side.push(tiny(2))
    eventually(lambda: device.reported.revision == side.desired.all()[1].state.revision, "both arrived")
    assert device.reported.active == own
    with side.publisher() as publisher:
        publisher.states([side.desired.issue(f"device/{DEVICE}", own, follow_group=True)])
    eventually(lambda: device.reported.active == group, "the group's again")


@pytest.mark.parametrize("spoil", [lambda data: b"\xff" + data[1:], lambda data: data[:-1]], ids=["flipped", "cut"])
@pytest.mark.parametrize("spoilt", [0, 1], ids=["release file", "model"])
def test_a_damaged_chunk_is_refused_and_the_right_one_is_asked_for(
    side: ReleaseSide, equipped: Device, spoilt: int, spoil: "type[bytes]"
) -> None:
    side.releases.add(tiny(2))
    ref, needs = tiny(2).manifest.ref, list[Arrived]()
    files = side.releases.files(side.releases.find(ref.name, ref.release))
    digest = list(files)[spoilt]
    with side.publisher() as publisher:
        publisher.metadata()
        said = files | {digest: spoil(files[digest])}
        publisher.link.publish(Arrived(topics.blob(name, 0), data) for name, data in said.items())
        publisher.states([side.desired.issue(f"group/{GROUP}", ref)])
        equipped.until("downloading", "chunk 0 arrived without its digest")
        assert equipped.running == tiny(1).manifest.digest
        publisher.link.subscribe(topics.all_devices("need"), needs.append)
        eventually(lambda: needs, "the need")
        need = decode(needs[0].payload, Need)
        assert (need.digest, need.chunks()) == (digest, [0])
        assert answer_need(publisher, needs[0]) == 1
        eventually(lambda: equipped.reported.active == ref, "the undamaged model")
        eventually(lambda: needs[-1].payload == b"", "the need is taken back")


def test_a_newer_desired_state_supersedes_one_whose_chunks_never_come(side: ReleaseSide, device: Device) -> None:
    side.releases.add(tiny(1))
    with side.publisher() as publisher:
        publisher.metadata()
        publisher.states([side.desired.issue(f"group/{GROUP}", tiny(1).manifest.ref)])
    device.until("downloading")
    second = side.push(tiny(2))
    eventually(lambda: device.reported.active == second, "the newer one")


def test_a_wiped_broker_is_filled_again_and_devices_say_all_again(
    tmp_path: Path, broker: Broker, side: ReleaseSide, device: Device
) -> None:
    side.push(tiny(1))
    device.until("committed")
    broker.kill()
    for file in (tmp_path / "broker").glob("*.db"):
        file.unlink()
    broker.start()
    with side.publisher() as publisher:
        eventually(
            lambda: publisher.link.retained(topics.all_devices("reported")), "the device says again what it runs"
        )
        assert publisher.heal() > 5
        assert publisher.heal() == 0
    second = side.push(tiny(2))
    eventually(lambda: device.reported.active == second, "updates after the wipe")


def test_a_device_without_a_clock_learns_the_time_from_what_is_signed(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    root = side.repository.first_root()
    with Device(tmp_path / "device", broker.port, root, now=lambda: 0.0) as device:
        began = time.time()
        side.push(tiny(1))
        device.until("committed")
        assert device.updates.trusted_time() >= began - 1
    with Device(tmp_path / "device", broker.port, root, now=lambda: 0.0) as device:
        assert device.updates.trusted_time() >= began - 1  # kept through the restart


def test_a_device_whose_clock_was_in_a_far_year_takes_updates_once_it_is_right(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    root, far = side.repository.first_root(), 72 * 365 * 24 * 3600.0
    wrong = [0.0]
    with Device(tmp_path / "device", broker.port, root, now=lambda: time.time() + wrong[0]) as device:
        side.push(tiny(1))
        device.until("committed")
        wrong[0] = far
        second = side.push(tiny(2))
        device.until_reason("the root has expired")
    with Device(tmp_path / "device", broker.port, root, now=lambda: time.time() + far) as device:
        device.until_reason("run `edgewise keys rotate root` with the root keys, then `edgewise fleet heal`")
    with Device(tmp_path / "device", broker.port, root) as device:
        eventually(lambda: device.reported.active == second and device.reported.state == "committed", "the update")
        assert device.updates.trusted_time() < time.time() + 60


def test_a_desired_state_that_had_expired_by_a_clock_that_ran_ahead_is_taken_once_it_is_right(
    tmp_path: Path, broker: Broker, side: ReleaseSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sends it again: the device itself asks once more."""
    monkeypatch.setattr(desired, "LIFE", 3600.0)
    monkeypatch.setattr(updater, "_ASLEEP_S", 0.2)
    wrong = [0.0]
    root = side.repository.first_root()
    with Device(tmp_path / "device", broker.port, root, now=lambda: time.time() + wrong[0]) as device:
        side.push(tiny(1))
        device.until("committed")
        wrong[0] = 2 * 3600.0
        second = side.push(tiny(2))
        device.until_reason("has expired: refused; push again")
        wrong[0] = 0.0
        eventually(lambda: device.reported.active == second and device.reported.state == "committed", "the update")
        assert not device.reported.reason


def test_expired_metadata_hold_what_runs_until_they_are_renewed(
    side: ReleaseSide, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = side.push(tiny(1))
    device.until("committed")
    until = device.updates.trust_expires
    assert until is not None
    assert time.time() < until < time.time() + repository.ONLINE_LIFE.total_seconds() + 60
    side.releases.add(tiny(2))
    with monkeypatch.context() as ago, side.publisher() as publisher:
        ago.setattr(repository, "ONLINE_LIFE", timedelta(seconds=-1))  # for as long as nobody renewed it
        side.repository.refresh()
        ago.setattr(Repository, "_check_expiry", lambda *_: None)
        publisher.metadata()
    device.until("committed", "the release list has expired")
    assert device.reported.reason.endswith("run `edgewise release refresh`, then `edgewise fleet heal`.")
    assert device.running == first.digest
    side.repository.refresh()
    second = side.push(tiny(2))
    eventually(lambda: device.reported.active == second, "the renewed release")


def _with(model: ModelPackage, **changes: object) -> ModelPackage:
    return model._replace(manifest=replace(model.manifest, **changes))


def _garbage() -> ModelPackage:
    data = b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 8
    return ModelPackage(replace(tiny(2).manifest, digest=digest_of(data), size=len(data)), data, "")


_goldens = tiny(2).manifest.goldens
UNFIT = {
    "wrong answers": (_with(tiny(2), goldens=(replace(_goldens[1], output=_goldens[0].output),)), "wrongly"),
    "no goldens": (_with(tiny(2), goldens=()), "carries no known answers"),
    "too slow": (_with(tiny(2), budget=Budget(latency=1e-9)), "one inference takes"),
    "too large": (_with(tiny(2), budget=Budget(latency=0.5, memory=1)), "bytes of memory here, the budget is 1"),
    # Malformed files are refused by LiteRT and crash tflite-runtime: that is what the child process is for.
    "no model at all": (_garbage(), "cannot load the model" if runtime().startswith("litert") else "did not survive"),
    "labels that do not fit": (_with(tiny(2), labels=("a", "b"), goldens=()), "its manifest says"),
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_model_unfit_for_this_board_is_rejected_and_remembered(
    side: ReleaseSide, equipped: Device, unfit: str
) -> None:
    model, reason = UNFIT[unfit]
    side.push(model)
    equipped.until("rejected", reason)
    assert equipped.running == tiny(1).manifest.digest
    side.push(model)
    equipped.until("rejected", "failed on this device before")
    assert equipped.activated == [tiny(1).manifest.ref]
    assert list((equipped.directory / "slots").iterdir()) == []


def test_a_disk_that_refuses_the_state_for_a_while_costs_time_and_nothing_else(
    side: ReleaseSide, equipped: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater, "_DISK_S", 0.05)
    refused: list[str] = []
    true = {name: getattr(StateStore, name) for name in ("save_update", "save_desired", "save_seen")}

    def refuse_twice(name: str) -> None:
        def save(store: StateStore, *arguments: object) -> None:
            refused.append(name)
            if refused.count(name) <= 2:
                raise sqlite3.OperationalError("database or disk is full")
            true[name](store, *arguments)

        monkeypatch.setattr(StateStore, name, save)

    for name in true:
        refuse_twice(name)
    second = side.push(tiny(2))
    eventually(lambda: equipped.reported.active == second and equipped.reported.state == "committed", "it in the end")
    assert set(refused) == set(true)
    assert equipped.activated == [tiny(1).manifest.ref, second]


def test_a_board_that_starts_no_thread_for_a_while_goes_on_with_its_updates(
    side: ReleaseSide, equipped: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updater, "_DISK_S", 0.05)
    refused: list[str] = []
    troubles: list[str] = []
    start = threading.Thread.start

    def refusing(thread: threading.Thread) -> None:
        troubles.append(equipped.updates.trouble)
        if thread.name in {"updates-aside", "selftest"} and refused.count(thread.name) < 2:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    second = side.push(tiny(2))
    eventually(lambda: equipped.reported.active == second and equipped.reported.state == "committed", "it in the end")
    assert refused.count("updates-aside") == 2
    assert any("can't start new thread" in each for each in troubles)
    eventually(lambda: equipped.updates.trouble == "", "no trouble any more")


def failing_while(file: Path) -> tuple[str, ...]:
    """A self-test that condemns every model while this file is there, and the real one afterwards."""
    script = file.with_suffix(".py")
    script.write_text(
        "import os, pathlib, sys\n"
        f"if pathlib.Path({str(file)!r}).exists():\n"
        """    print('{"passed": false, "reason": "made to fail."}'); sys.exit()\n"""
        f"os.execv(sys.executable, {list(COMMAND)!r} + sys.argv[1:])\n"
    )
    return (sys.executable, str(script))


def test_a_condemned_release_is_tried_again_only_when_that_is_asked_for_and_once(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    ill = tmp_path / "ill"
    ill.touch()
    factory, root = FIXTURES / "tiny-1.ewm", side.repository.first_root()
    command = failing_while(ill)
    with Device(tmp_path / "device", broker.port, root, factory=factory, selftest_command=command) as device:
        side.push(tiny(2))
        device.until("rejected", "made to fail")
        side.push(tiny(2), retry=True)
        eventually(lambda: [r.state for r in device.reports].count("selftest") == 2, "a second self-test")
        device.until("rejected", "made to fail")
        with side.publisher() as publisher:  # the same desired state with a longer life asks for no third one
            publisher.states(side.desired.reissue(side.desired.all()))
        device.until("rejected", "failed on this device before: made to fail")
        ill.unlink()
        side.push(tiny(2))
        revision = side.desired.all()[0].state.revision
        eventually(lambda: device.reported.revision == revision, "the plain desired state arrived")
        device.until("rejected", "failed on this device before")
        asked = side.push(tiny(2), retry=True)
        eventually(lambda: device.reported.active == asked and device.reported.state == "committed", "tried again")
        assert [report.state for report in device.reports].count("selftest") == 3


CRASHES = {
    "abort": ("import os; os.abort()", "did not survive this model here (SIGABRT)"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "did not survive this model here (SIGSEGV)"),
    "endless": (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
        "did not survive this model here (SIG",
    ),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_self_test_that_takes_its_process_down_rejects_the_model_and_not_the_agent(
    tmp_path: Path, broker: Broker, side: ReleaseSide, crash: str
) -> None:
    code, reason = CRASHES[crash]
    with Device(
        tmp_path / "device",
        broker.port,
        side.repository.first_root(),
        factory=FIXTURES / "tiny-2.ewm",
        selftest_command=(sys.executable, "-c", code),
    ) as device:
        side.push(tiny(1))
        device.until("rejected", reason)
        assert device.running == tiny(2).manifest.digest


def test_a_model_that_the_pipeline_does_not_take_is_rolled_back(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    def objection(model: ActiveModel) -> None:
        if model.manifest.release == 2:
            raise UsageError("this agent has no colour camera.")

    with Device(tmp_path / "device", broker.port, side.repository.first_root(), on_activate=objection) as device:
        good = side.push(tiny(1))
        device.until("committed")
        side.push(tiny(2))
        device.until("rolled-back", "no colour camera")
        assert device.running == good.digest
        assert (device.directory / "current").resolve().name.startswith("tiny-1-")


def test_a_model_that_fails_on_faces_is_rolled_back_and_not_tried_again(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    with Device(tmp_path / "device", broker.port, side.repository.first_root(), feed=False) as device:
        good = side.push(tiny(1))
        device.until("probation")
        for _ in range(3):
            device.updates.answered(good)
        device.until("committed")
        bad = side.push(tiny(2))
        device.until("probation")
        device.updates.model_failed(bad, "not at all")
        device.updates.answered(bad)  # one failure may be due to the moment
        for _ in range(3):
            device.updates.answered(good)  # of the model before, which still ran for a frame
        for _ in range(3):
            device.updates.model_failed(bad, "no answer")
        device.until("rolled-back", "no answer")
        assert device.running == good.digest
        assert device.activated == [good, tiny(2).manifest.ref, good]
        side.push(tiny(2))
        device.until("rejected", "failed on this device before")


def test_a_rollback_that_was_asked_for_brings_the_model_before(side: ReleaseSide, device: Device) -> None:
    first = side.push(tiny(1))
    device.until("committed")
    side.push(tiny(2))
    eventually(lambda: device.running == tiny(2).manifest.digest and device.reported.state == "committed", "the second")
    device.updates.roll_back("asked for by a command.")
    device.until("rolled-back", "asked for")
    assert device.running == first.digest


def test_a_damaged_slot_gives_way_to_the_model_before_and_is_fetched_again(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    root = side.repository.first_root()
    with Device(tmp_path / "device", broker.port, root) as device:
        side.push(tiny(1))
        device.until("committed")
        second = side.push(tiny(2))
        eventually(lambda: device.reported.active == second and device.reported.state == "committed", "the second")
    model = (tmp_path / "device" / "current" / "model.tflite").resolve()
    model.write_bytes(b"\x00" + model.read_bytes()[1:])
    with Device(tmp_path / "device", broker.port, root) as device:
        assert device.activated[0] == tiny(1).manifest.ref
        eventually(lambda: device.reported.active == second and device.reported.state == "committed", "it again")


def test_a_model_on_trial_that_was_damaged_while_the_board_was_off_is_fetched_again_and_not_blamed(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    root = side.repository.first_root()
    with Device(tmp_path / "device", broker.port, root) as device:
        side.push(tiny(1))
        device.until("committed")
    with Device(tmp_path / "device", broker.port, root, feed=False) as device:
        second = side.push(tiny(2))
        eventually(lambda: device.reported.active == second and device.reported.state == "probation", "on trial")
    model = (tmp_path / "device" / "current" / "model.tflite").resolve()
    model.write_bytes(b"\x00" + model.read_bytes()[1:])
    with Device(tmp_path / "device", broker.port, root) as device:
        assert device.activated[0] == tiny(1).manifest.ref
        eventually(lambda: device.reported.active == second and device.reported.state == "committed", "it again")


def test_the_factory_model_runs_without_a_broker_and_without_releases(tmp_path: Path, side: ReleaseSide) -> None:
    factory = FIXTURES / "tiny-1.ewm"
    with Device(tmp_path / "device", 1, side.repository.first_root(), factory=factory) as device:
        assert device.running == tiny(1).manifest.digest
        assert device.reported.state == "idle"


def test_a_damaged_factory_package_stops_no_release_that_runs(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    root, factory = side.repository.first_root(), tmp_path / "factory.ewm"
    factory.write_bytes((FIXTURES / "tiny-1.ewm").read_bytes())
    with Device(tmp_path / "device", broker.port, root, factory=factory) as device:
        ref = side.push(tiny(2))
        eventually(lambda: device.reported.active == ref and device.reported.state == "committed", "the release")
    factory.write_bytes(b"damaged")
    with Device(tmp_path / "device", broker.port, root, factory=factory) as device:
        eventually(lambda: device.running == tiny(2).manifest.digest, "the release again")


def test_a_device_that_lost_its_database_runs_on_with_what_is_on_its_disk(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    root = side.repository.first_root()
    with Device(tmp_path / "device", broker.port, root) as device:
        ref = side.push(tiny(1))
        device.until("committed")
    (tmp_path / "device" / "state.db").write_bytes(b"not a database" * 100)
    shutil.rmtree(tmp_path / "fleet" / "metadata")  # and nobody to ask
    with Device(tmp_path / "device", 1, root) as device:
        assert device.running == ref.digest
    assert (tmp_path / "device" / "state.db.damaged").exists()
