"""The rows of `make test-faults` in short: a few faults of each kind, and the parts that make and judge them."""

import errno
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.update.machine import Phase
from tests.agent.update.update_bench import Device, eventually, quick_waits, tiny
from tests.faults import bad_models, crops, mutants, power_cuts, random_kills, surroundings
from tests.faults.device import FACTORY, Site, converge, inspect, kept
from tests.faults.operations import Fault
from tests.faults.power_cuts import Disk
from tests.faults.transitions import NEVER, Case


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path / "site") as site:
        yield site


@pytest.mark.parametrize(
    "fault",
    [Fault("kill", 1, named="COMMIT"), Fault("kill", 0, named="link"), Fault("hang", 0, named="symlink")],
    ids=["commit", "slot", "link"],
)
def test_a_device_that_dies_or_hangs_at_a_write_comes_up_with_a_whole_model_and_converges(
    site: Site, fault: Fault
) -> None:
    assert Case(site, "update").killed(fault) == ""


def test_a_device_killed_in_shadow_comes_up_and_converges(site: Site) -> None:
    assert Case(site, "shadow").killed(Fault("kill", 9, named="COMMIT")) == ""


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error", 2, named="COMMIT"),  # of the desired state, whose envelope must not count as seen then
        Fault("error", 0, 2, errno.ENOSPC, named="create"),
        Fault("error", 0, 3, errno.EROFS, named="replace"),
        Fault("error", 0, 2, errno.EIO, named="after COMMIT"),
    ],
    ids=["desired state", "download", "slot", "written all the same"],
)
def test_a_device_whose_disk_refuses_for_a_moment_goes_on_by_itself_and_forgets_nothing(
    site: Site, fault: Fault
) -> None:
    assert Case(site, "update").refused(fault) == ""


def test_a_disk_that_is_full_where_a_download_ends_and_still_is_when_that_is_given_up_ends_no_updates(
    site: Site,
) -> None:
    """The database refuses, and what was under way cannot be brought to the disk either."""
    names = Case(site, "update").count()
    at = next(place for place, name in enumerate(names) if name.startswith("fsync") and name.endswith(".part"))
    assert Case(site, "update").refused(Fault("error", at, 6, errno.ENOSPC)) == ""


def test_a_damaged_file_costs_time_and_no_model(site: Site) -> None:
    fault = Fault("kill", 5, named="COMMIT")
    assert Case(site, "update").corrupted(fault, random.Random(3)) == ""  # noqa: S311


def test_with_a_clock_ten_years_behind_it_updates_and_ten_years_ahead_it_holds_until_the_clock_is_right(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = site.side.push(tiny(2))
    assert converge(site.new_folder(), site.port, target, offset=-surroundings.TEN_YEARS_S) == ""
    quick_waits(monkeypatch)
    folder, root = site.new_folder(), (site.folder / "root.json").read_bytes()
    with Device(folder, site.port, root, factory=FACTORY, now=lambda: time.time() + surroundings.TEN_YEARS_S) as device:
        eventually(lambda: "expired" in device.reported.reason, "the list has expired by this clock")
        assert device.running == tiny(1).manifest.digest
    assert converge(folder, site.port, target) == ""


def test_what_a_disk_holds_after_a_power_cut_is_what_was_synced_and_any_part_of_the_rest(tmp_path: Path) -> None:
    disk = Disk(Path("/state"))
    for call in (
        ("mkdir", ("/state/slots", "0777"), 0),
        ("openat", ("/state/a", "O_RDWR|O_CREAT", "0644"), 3),
        ("pwrite64", ("/state/a", b"synced", "6", "0"), 6),
        ("fsync", ("/state/a",), 0),
        ("fsync", ("/state",), 0),
        ("pwrite64", ("/state/a", b"X", "1", "2"), 1),
        ("rename", ("/state/a", "/state/b"), 0),
        ("mkdir", ("/state/slots/new", "0777"), 0),
        ("unlink", ("/elsewhere/a",), 0),
    ):
        disk.do(call)
    disk.after_a_cut(tmp_path / "nothing", lambda: False)
    disk.after_a_cut(tmp_path / "everything", lambda: True)
    assert (tmp_path / "nothing" / "a").read_bytes() == b"synced"
    assert [path.name for path in sorted((tmp_path / "nothing").iterdir())] == ["a", "slots"]
    assert (tmp_path / "everything" / "b").read_bytes() == b"syXced"
    assert not (tmp_path / "everything" / "a").exists()
    assert (tmp_path / "everything" / "slots" / "new").is_dir()
    assert list((tmp_path / "nothing" / "slots").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which records what a device does, is not installed")
def test_a_power_cut_after_any_of_some_calls_leaves_a_disk_that_a_device_starts_from(tmp_path: Path) -> None:
    row = power_cuts.prefixes(tmp_path / "cuts", parts=1, starts=1, stride=12)
    assert row.found == []
    assert row.figures["disks"] > 30


def test_no_mutant_ends_the_agent_or_is_activated() -> None:
    row = mutants.mutants(64, workers=1, real=1)
    assert row.found == []
    assert (row.figures["mutants"], row.figures["deaths"], row.figures["activated"]) == (64, 0, 0)
    assert min(row.figures["refused"], row.figures["failed_the_self_test"]) > 10


def test_a_mutant_that_answers_wrongly_would_be_noticed() -> None:
    """The judge itself: the answers of another model are found to be wrong."""
    one, two = (mutants.ActiveModel(tiny(n).manifest, tiny(n).model, "release") for n in (1, 2))
    off = max(float(abs(a - b).max()) for a, b in zip(mutants.answers(one), mutants.answers(two), strict=True))
    assert off > mutants.WRONG


@pytest.mark.parametrize("name", ["answers no numbers", "is worse"])
def test_a_signed_but_bad_model_is_stopped(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_waits(monkeypatch)
    row = bad_models.bad_models(tmp_path, [name])
    assert (row.found, row.figures) == ([], {"models": 1, "rejected": 1})


def test_a_device_that_never_ran_and_one_that_lost_a_slot_are_told_apart(site: Site) -> None:
    folder = site.new_folder()
    assert inspect(folder)[1] == ""
    target = site.side.push(tiny(2))
    assert converge(folder, site.port, target) == ""
    assert (inspect(folder)[0].phase, kept(folder, target)) == (Phase.COMMITTED, "")
    shutil.rmtree(folder / "slots")
    assert "cannot be loaded" in inspect(folder)[1]


@pytest.mark.slow
def test_whole_agents_killed_at_random_come_up_and_converge(tmp_path: Path) -> None:
    assert random_kills.random_kills(tmp_path, 6, workers=1).found == []


@pytest.mark.slow
def test_around_a_device_that_is_well_nothing_is_lost(tmp_path: Path) -> None:
    assert surroundings.broker_and_clock(tmp_path / "broker", kills=2).found == []


@pytest.mark.slow
def test_an_agent_starts_on_a_full_disk_and_converges_once_there_is_room(tmp_path: Path) -> None:
    assert surroundings.full_disk(tmp_path / "full").found == []


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        ("answered", Fault("kill", 1, named="INSERT INTO kept")),
        ("answered", Fault("error", 2, named="DELETE FROM crop")),
        ("answered", Fault("hang", 3, named="BEGIN")),
        ("withdrawn", Fault("kill", 0, named="unlink")),
        ("withdrawn", Fault("error", 0, 2, errno.EROFS, named="unlink")),
    ],
    ids=["stored", "answered", "storing", "deleting", "not let go"],
)
def test_sampled_faces_are_sent_once_or_deleted_whatever_the_disk_does(
    tmp_path: Path, way: crops.Way, fault: Fault
) -> None:
    assert crops.wrong_after(tmp_path / "case", way, fault) == ""


def test_what_must_not_be_of_sampled_faces_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops.erasure, "erase", lambda _: False)  # a start that deletes nothing
    left = crops.wrong_after(tmp_path / "case", "withdrawn", Fault("kill", 0, named="unlink"))
    assert "is left after the consent's end" in left
    for kind in ("kill", "error"):
        never = crops.wrong_after(tmp_path / kind, "answered", Fault(kind, 0, named="no such"))
        assert never == NEVER


def test_a_case_whose_operation_never_comes_is_no_success(site: Site) -> None:
    assert Case(site, "update").killed(Fault("kill", 0, named="no such")) == NEVER
    assert Case(site, "update").refused(Fault("error", 0, named="no such")) == NEVER
