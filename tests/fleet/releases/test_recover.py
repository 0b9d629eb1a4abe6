"""When something went wrong on the release side: what devices did with it, and that one command is the way out.

Each fault is made with real parts, a device on a real broker is seen locked out by it, and takes up a release again
after `edgewise fleet recover`.
"""

import os
import shutil
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from typer.testing import CliRunner, Result

from edge_contract import topics
from edge_contract.envelope import seal, unseal
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.trust import DESIRED_TYPE, ISSUED_FIELD, DesiredState
from edge_fleet.cli import app
from edge_fleet.link import Arrived
from edge_fleet.releases import retained
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.repository import Repository
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import DEVICE, FIXTURES, GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.eventually import eventually

DAY_S = 24 * 3600.0


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port)


@pytest.fixture
def device(tmp_path: Path, broker: Broker, side: ReleaseSide, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device that runs tiny 1."""
    quick_waits(monkeypatch)
    with Device(tmp_path / "device", broker.port, side.repository.first_root()) as device:
        side.push(tiny(1))
        device.until("committed")
        yield device


def edgewise(side: ReleaseSide, *arguments: str) -> Result:
    environment = {"EDGEWISE_REPOSITORY": str(side.directory), "EDGEWISE_BROKER": f"mqtt://127.0.0.1:{side.port}"}
    return CliRunner().invoke(app, arguments, env=environment)


def succeeds(side: ReleaseSide, *arguments: str) -> str:
    result = edgewise(side, *arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(side: ReleaseSide, *arguments: str) -> str:
    """The sentence with which a command refuses; what the broker retains is untouched."""
    before = on_broker(side)
    error = edgewise(side, *arguments).exception
    assert isinstance(error, EdgewiseError), error
    assert on_broker(side) == before
    return str(error)


def on_broker(side: ReleaseSide) -> dict[str, bytes]:
    with side.publisher() as publisher:
        held = publisher.link.retained(f"{topics.PREFIX}/trust/+") | publisher.link.retained(f"{topics.PREFIX}/blob/#")
        return held | publisher.link.retained(f"{topics.PREFIX}/group/+/desired")


def pushed_again(side: ReleaseSide, device: Device) -> None:
    """A release pushed by hand runs."""
    succeeds(side, "release", "add", str(FIXTURES / "tiny-2.ewm"))
    succeeds(side, "push", "tiny", "2", "--group", GROUP)
    second = tiny(2).manifest.ref
    eventually(lambda: device.reported.active == second and device.reported.state == "committed", "the second release")


@pytest.mark.slow
def test_after_a_clock_that_was_wrong_by_months_a_new_online_key_sets_devices_right(
    side: ReleaseSide, device: Device
) -> None:
    side.offset = 200 * DAY_S
    keys = KeyStore((side.directory / "keys",))
    wrong = Repository(
        side.directory, keys, lambda: datetime.fromtimestamp(side.now(), UTC), clock_is_right=True
    )  # as before there was a guard
    wrong.refresh()
    with side.publisher() as publisher:
        publisher.metadata()
    eventually(lambda: device.updates.trusted_time() > time.time() + 190 * DAY_S, "the device learned the wrong time")
    side.offset = 0.0
    for command in (
        ("release", "refresh"),
        ("push", "tiny", "1", "--group", GROUP),
        ("device", "identify", DEVICE),
        ("fleet", "recover"),
    ):
        said = refused(side, *command)
        assert "which is later; set the clock right; if it is right now" in said
        assert "edgewise fleet recover --new-online-key" in said
    succeeds(side, "fleet", "recover", "--new-online-key")
    eventually(lambda: device.updates.trusted_time() < time.time() + 60, "the wrong time is forgotten")
    pushed_again(side, device)
    succeeds(side, "release", "refresh")
    assert device.store.time().seconds < time.time() + 60


def test_an_old_copy_of_the_folder_publishes_nothing_and_takes_over_what_the_broker_holds(
    tmp_path: Path, side: ReleaseSide, device: Device
) -> None:
    shutil.copytree(side.directory, tmp_path / "backup")
    succeeds(side, "keys", "rotate", "root")
    succeeds(side, "fleet", "heal")
    pushed_again(side, device)
    shutil.rmtree(side.directory)
    shutil.copytree(tmp_path / "backup", side.directory)

    for command in (("fleet", "heal"), ("push", "tiny", "1", "--group", GROUP)):
        assert f"group/{GROUP} revision" in (said := refused(side, *command))
        assert said.endswith("run `edgewise fleet recover`.")
    succeeds(side, "release", "refresh")  # needs no broker: what it signs is not published either
    succeeds(side, "release", "refresh")
    assert "root 2, release list 4 (here 2)" in refused(side, "fleet", "heal")

    before = on_broker(side)
    assert "Nothing was changed" in succeeds(side, "fleet", "recover", "--dry-run")
    assert on_broker(side) == before
    assert "root 2" in succeeds(side, "fleet", "recover")
    assert "Newer on the broker: nothing." in succeeds(side, "fleet", "recover")
    listed = [(one.manifest.name, one.manifest.release) for one in side.releases.listed()]
    assert listed == [("tiny", 1), ("tiny", 2)]
    assert device.running == tiny(2).manifest.digest
    succeeds(side, "push", "tiny", "1", "--group", GROUP)
    first = tiny(1).manifest.ref
    eventually(lambda: device.reported.active == first and device.reported.state == "committed", "the next push")


@pytest.mark.slow
def test_an_old_copy_without_the_online_key_of_today_says_so_and_gets_a_new_one(
    tmp_path: Path, side: ReleaseSide, device: Device
) -> None:
    shutil.copytree(side.directory, tmp_path / "backup")
    succeeds(side, "keys", "rotate", "online")
    pushed_again(side, device)
    shutil.rmtree(side.directory)
    shutil.copytree(tmp_path / "backup", side.directory)
    said = refused(side, "fleet", "recover")
    assert "the online key online-" in said
    assert "put it into" in said
    assert "edgewise keys rotate online" in said
    succeeds(side, "fleet", "recover", "--new-online-key")
    assert [one.manifest.release for one in side.releases.listed()] == [1, 2]
    first = tiny(1).manifest.ref  # what the copy desired: what the lost key signed is not taken over
    eventually(lambda: device.reported.active == first and device.reported.state == "committed", "the copy's wish")
    pushed_again(side, device)


def test_a_folder_that_lost_its_metadata_is_had_again_from_keys_and_broker(side: ReleaseSide, device: Device) -> None:
    (side.directory / "root.json").write_bytes(side.repository.first_root())
    for lost in ("metadata", "models", "desired"):
        shutil.rmtree(side.directory / lost)
    assert "run `edgewise fleet recover`" in refused(side, "keys", "init")
    assert "run it without --dry-run" in refused(side, "fleet", "recover", "--dry-run")
    assert not (side.directory / "metadata").exists()
    succeeds(side, "fleet", "recover")
    pushed_again(side, device)


@pytest.mark.parametrize("name", ["timestamp.json", "1.root.json", "2.targets.json", "desired/group-shop.json"])
def test_what_a_damaged_file_asks_for_mends_it(side: ReleaseSide, name: str) -> None:
    side.push(tiny(1))
    (side.directory / "root.json").write_bytes(side.repository.first_root())
    path = side.directory / name if "/" in name else side.directory / "metadata" / name
    path.write_bytes(path.read_bytes()[:-20])
    said = refused(side, "fleet", "heal")
    assert str(path) in said
    assert "edgewise fleet recover" in said or "root.json over it" in said
    if name == "1.root.json":
        assert "root.json over it, which is the same file" in refused(side, "fleet", "recover")
        shutil.copy(side.directory / "root.json", path)
    if "/" in name:
        path.unlink()
    succeeds(side, "fleet", "recover")
    assert [one.state.scope for one in side.desired.all()] == [f"group/{GROUP}"]
    assert succeeds(side, "fleet", "heal").startswith("Published 0")
    succeeds(side, "push", "tiny", "1", "--group", GROUP)


def test_a_release_that_only_the_old_copy_has_is_named_and_one_without_files_too(
    tmp_path: Path, side: ReleaseSide, device: Device
) -> None:
    shutil.copytree(side.directory, tmp_path / "backup")
    pushed_again(side, device)
    shutil.rmtree(side.directory)
    shutil.copytree(tmp_path / "backup", side.directory)
    model = tiny(1)
    third = model._replace(manifest=replace(model.manifest, release=3))
    side.releases.add(third)
    with side.publisher() as publisher:
        publisher.link.publish([Arrived(topics.blob(tiny(2).manifest.digest, 0), b"damaged")])
    result = edgewise(side, "fleet", "recover")
    assert "files of tiny 2 are neither here nor on the broker; release those packages again" in str(result.exception)
    pushed_again(side, device)
    assert [one.manifest.release for one in side.releases.listed()] == [1, 2]


def _thief(side: ReleaseSide) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What a stolen online key can sign: last revisions, also for a scope of nobody, and metadata far ahead."""
    signer, now, said = side.repository.online_signer(), time.time(), dict[str, bytes]()
    for scope in (f"group/{GROUP}", f"device/{DEVICE}"):
        state = DesiredState(
            scope=scope, revision=2**53, model=tiny(1).manifest.ref, issued=now + 9e8, expires=now + 9e9
        )
        said[f"{topics.PREFIX}/{scope}/desired"] = seal(state, DESIRED_TYPE, signer)
    files, late = side.repository.files(), datetime.now(UTC).replace(microsecond=0) + timedelta(days=9000)
    name = next(name for name in files if name.endswith("snapshot.json"))
    snapshot, timestamp = (
        Metadata[Snapshot].from_bytes(files[name]),
        Metadata[Timestamp].from_bytes(files["timestamp.json"]),
    )
    snapshot.signed.version = timestamp.signed.version = 10**6
    snapshot.signed.expires = timestamp.signed.expires = late
    snapshot.sign(signer)
    timestamp.signed.snapshot_meta = MetaFile.from_data(10**6, snapshot.to_bytes(), ["sha256"])
    timestamp.signed.unrecognized_fields[ISSUED_FIELD] = 2**53  # no year that a calendar has
    timestamp.sign(signer)
    index = files["index.json"].replace(b'"snapshot":' + name.split(".")[0].encode(), b'"snapshot":1000000')
    assert index != files["index.json"]
    new = {"1000000.snapshot.json": snapshot.to_bytes(), "index.json": index, "timestamp.json": timestamp.to_bytes()}
    return said, {topics.trust(file): data for file, data in new.items()}


def test_what_a_stolen_online_key_signed_counts_no_longer_once_it_is_replaced(
    side: ReleaseSide, device: Device
) -> None:
    states, metadata = _thief(side)
    for topic, payload in states.items():
        side.say(topic, payload)
    eventually(lambda: device.reported.revision == 2**53, "the device believes the thief")
    for topic, payload in metadata.items():
        side.say(topic, payload)
    eventually(lambda: device.updates.trusted_time() > time.time() + 8000 * DAY_S, "and its time")
    assert f"group/{GROUP} revision {2**53}" in refused(side, "fleet", "heal")
    said = succeeds(side, "fleet", "recover", "--new-online-key")
    assert f"device/{DEVICE}/desired" in said
    assert device.running == tiny(1).manifest.digest
    pushed_again(side, device)
    assert device.updates.trusted_time() < time.time() + 60
    assert device.reported.revision < 2**50
    with side.publisher() as publisher:
        assert publisher.link.retained(topics.all_devices("desired")) == {}  # the thief's is gone
    assert succeeds(side, "fleet", "heal").startswith("Published 0")


def test_above_the_last_revision_nothing_is_signed_and_the_way_out_is_named(side: ReleaseSide, device: Device) -> None:
    scope = f"group/{GROUP}"
    state = replace(side.desired.all()[0].state, revision=2**53)
    side.say(topics.group_desired(GROUP), seal(state, DESIRED_TYPE, side.repository.online_signer()))
    succeeds(side, "fleet", "recover")  # nobody said that the key was stolen
    with pytest.raises(EdgewiseError, match="fleet recover --new-online-key"):
        side.desired.issue(scope, tiny(1).manifest.ref)


@pytest.mark.slow
def test_a_new_online_key_changes_nothing_on_a_device_that_was_well(side: ReleaseSide, device: Device) -> None:
    """Two groups' states change signer and neither overtakes the other: what was asked for last stays in force."""
    succeeds(side, "push", "tiny", "1", "--group", "zoo")
    pushed_again(side, device)
    before = [one.state for one in side.desired.all()]
    succeeds(side, "fleet", "recover", "--new-online-key")
    after = [one.state for one in side.desired.all()]
    eventually(lambda: device.reported.revision == after[0].revision, "the state of the new key")
    assert device.activated == [tiny(1).manifest.ref, tiny(2).manifest.ref]
    assert [one.issued for one in after] == [one.issued for one in before]


def killed(folder: Path, port: int, write: int, *arguments: str) -> bool:
    """Run `edgewise` in a process that ends before its write of this number takes its name; False when it has fewer."""
    options = ["--repository", str(folder), *(["--broker", f"mqtt://127.0.0.1:{port}"] if port else [])]
    child = os.fork()  # and not a new interpreter: the imports would take longer than all that is tested
    if not child:
        left, whole = write, Path.replace

        def replace_or_end(path: Path, to: Path) -> Path:
            nonlocal left
            left -= 1
            if not left:
                os._exit(9)
            return whole(path, to)

        try:
            Path.replace = replace_or_end  # type: ignore[method-assign, assignment]
            app([*arguments, *options], standalone_mode=False)
        except BaseException:  # noqa: BLE001  # nothing of it may reach the test
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, 9}
    return status == 9


def _replaced(folder: Path, by: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(by, folder)


@pytest.mark.parametrize("new_online_key", [False, True], ids=["old copy", "new key"])
def test_recovering_is_done_by_the_next_run_wherever_it_was_killed(
    tmp_path: Path, side: ReleaseSide, new_online_key: bool
) -> None:
    side.push(tiny(1))
    shutil.copytree(side.directory, tmp_path / "old")
    side.repository.rotate("root")
    side.push(tiny(2))
    shutil.copytree(side.directory, tmp_path / "new")
    command = ("fleet", "recover", *(["--new-online-key"] if new_online_key else []))
    write = 0
    while True:
        write += 1
        _replaced(side.directory, tmp_path / "new")
        with side.publisher() as publisher:  # a broker that holds exactly this, whatever the last round left there
            publisher.link.publish(Arrived(topic, b"") for topic in on_broker(side))
            publisher.heal()
        _replaced(side.directory, tmp_path / "old")
        ended = killed(side.directory, side.port, write, *command)
        succeeds(side, *command)
        assert [one.manifest.release for one in side.releases.listed()] == [1, 2]
        (state,) = side.desired.all()
        assert not state.revoked
        assert state.state.model.release == (1 if new_online_key else 2)
        with side.publisher() as publisher:
            assert publisher.heal() == 0
        if not ended:
            break
    assert write > 7


@pytest.mark.parametrize("killed_at", range(1, 11))
def test_keys_init_that_was_killed_is_completed_by_the_next(tmp_path: Path, killed_at: int) -> None:
    folder = tmp_path / "fleet"
    assert killed(folder, 0, killed_at, "keys", "init")
    made = {path.name for path in folder.glob("keys/*.pem")}
    side = ReleaseSide.__new__(ReleaseSide)  # only its folder is asked for
    side.directory, side.port = folder, 1
    succeeds(side, "keys", "init")
    keys = {path.name for path in folder.glob("keys/*")}
    assert made <= keys  # nothing that was written is left over
    assert [name.partition("-")[0] for name in sorted(keys)] == ["online", "release", "root", "root", "root"]
    repository = Repository(folder, KeyStore((folder / "keys",)), lambda: datetime.now(UTC))
    assert {path for _, _, path in repository.key_files()} == set(folder.glob("keys/*.pem"))
    assert (folder / "root.json").read_bytes() == repository.first_root()
    succeeds(side, "release", "add", str(FIXTURES / "tiny-1.ewm"))
    assert "holds keys and releases already" in str(edgewise(side, "keys", "init").exception)


def test_the_later_of_two_pushes_at_once_is_what_stays_on_the_broker(tmp_path: Path, side: ReleaseSide) -> None:
    side.push(tiny(1))
    other = ReleaseSide(side.directory, side.port)  # as another process has it
    issued, revisions = threading.Event(), list[int]()

    def push_slowly() -> None:
        def issue():  # type: ignore[no-untyped-def]
            one = side.desired.issue(f"group/{GROUP}", tiny(1).manifest.ref)
            issued.set()
            time.sleep(0.5)  # the other push would be through by now
            return one

        with side.publisher() as publisher:
            revisions.append(publisher.push(issue).state.revision)

    slow = threading.Thread(target=push_slowly)
    slow.start()
    issued.wait(10)
    with other.publisher() as publisher:
        revisions.append(
            publisher.push(lambda: other.desired.issue(f"group/{GROUP}", tiny(1).manifest.ref)).state.revision
        )
    slow.join(10)
    with side.publisher() as publisher:
        held = publisher.link.retained(topics.group_desired(GROUP))[topics.group_desired(GROUP)]
    assert len(set(revisions)) == 2
    assert unseal(held, DESIRED_TYPE, DesiredState, side.repository.online_keys()).revision == max(revisions)


def test_healing_while_a_release_is_being_added_leaves_its_files_alone(
    side: ReleaseSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, written = ReleaseSide(side.directory, side.port), threading.Event()
    true = type(side.releases).keep_release_file

    def slowly(releases, release):  # type: ignore[no-untyped-def]
        kept = true(releases, release)
        written.set()
        time.sleep(0.5)
        return kept

    monkeypatch.setattr(type(side.releases), "keep_release_file", slowly)
    adding = threading.Thread(target=side.releases.add, args=(tiny(1),))
    adding.start()
    written.wait(10)
    with other.publisher() as publisher:
        publisher.heal()
    adding.join(10)
    assert side.releases.lacking() == {}
    assert [one.manifest.release for one in other.releases.listed()] == [1]


def test_what_others_retain_is_no_reason_to_stop(side: ReleaseSide, tmp_path: Path) -> None:
    side.push(tiny(1))
    impostor = ReleaseSide(tmp_path / "impostor", side.port)
    impostor.repository.rotate("online")
    for name, data in impostor.repository.files().items():
        side.say(topics.trust(name), data)
    side.say(topics.group_desired(GROUP), impostor.desired.issue(f"group/{GROUP}", tiny(2).manifest.ref).envelope)
    elsewhere = side.desired.issue("group/elsewhere", tiny(1).manifest.ref).envelope
    side.say(topics.group_desired("b"), elsewhere)  # signed by us, for another
    with side.publisher() as publisher:
        newer = retained.read(publisher.link, side.desired)
    assert newer.differences == ()
    assert set(newer.foreign) == {topics.group_desired("b"), topics.group_desired(GROUP)}
    succeeds(side, "fleet", "heal")


def test_a_desired_state_left_by_a_rotation_that_was_killed_is_renewed(side: ReleaseSide) -> None:
    side.push(tiny(1))
    side.repository.rotate("online")  # and killed before the states were issued again
    with side.publisher() as publisher, pytest.raises(TrustError, match="run `edgewise release refresh`"):
        publisher.heal()
    succeeds(side, "release", "refresh")
    succeeds(side, "fleet", "heal")
