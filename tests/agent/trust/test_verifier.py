"""Signatures are checked in a child: whatever becomes of it never counts as verified, and the agent lacks its code."""

import json
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edge_agent.trust import verifier
from edge_agent.trust.clock import SignedTime, TrustedClock
from edge_agent.trust.evidence import OnlineKeys
from edge_agent.trust.listed import TrustedMetadata
from edge_agent.trust.retained_metadata import RetainedFiles
from edge_agent.trust.verifier import COMMAND, Answer, Opened, Sealed, UnansweredError, Verifier, read_answer
from edge_agent.update import desired_tracker
from edge_agent.update.desired_tracker import DesiredTracker
from edge_agent.update.store import StateStore
from edge_contract import limits, topics
from edge_contract.errors import EdgewiseError
from edge_contract.messages import Reported
from edge_contract.trust import DESIRED_TYPE, DesiredState
from edge_simulator.broker import Broker
from tests.agent.agent_process import REPOSITORY, AgentProcess, Subscriber, render_clip
from tests.agent.update.update_bench import FIXTURES, GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.eventually import eventually

CLOCK = TrustedClock(time.time, time.monotonic)
WHOLE = msgspec.msgpack.encode(Answer(metadata=TrustedMetadata(version=9, expires=9e9, releases={})))


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


CHILDREN = {
    "killed": python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
    "aborted after a whole answer": python(f"import os, sys; os.write(1, {WHOLE!r}); os.abort()"),
    "failed after a whole answer": python(f"import os, sys; os.write(1, {WHOLE!r}); sys.exit(1)"),
    "silent": python("pass"),
    "half an answer": python(f"import os; os.write(1, {WHOLE[:-3]!r})"),
    "more than an answer": python(f"import os; os.write(1, {WHOLE + WHOLE!r})"),
    "text": python("print('verified')"),
    "hanging": python("import time; time.sleep(3600)"),
    "not there": ("/nonexistent/python",),
}


@pytest.mark.parametrize("child", CHILDREN)
def test_whatever_becomes_of_the_child_nothing_counts_as_verified(
    tmp_path: Path, side: ReleaseSide, child: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if child == "hanging":
        monkeypatch.setattr(verifier, "WALL_SECONDS", 0.3)
    asking = Verifier(tmp_path / "trust", side.repository.first_root(), CHILDREN[child])
    with pytest.raises(UnansweredError):
        asking.verify(CLOCK, side.repository.files())


def test_an_answer_about_another_number_of_envelopes_is_none() -> None:
    assert read_answer(0, WHOLE, 0).metadata is not None
    with pytest.raises(UnansweredError):
        read_answer(0, WHOLE, 1)


def test_a_question_too_large_for_the_child_is_not_answered(tmp_path: Path, side: ReleaseSide) -> None:
    asking = Verifier(tmp_path / "trust", side.repository.first_root())
    with pytest.raises(UnansweredError):
        asking.verify(CLOCK, {f"{number}.targets.json": bytes(1024 * 1024) for number in range(17)})


def test_a_child_that_is_told_to_stop_says_nothing_and_no_other_is_started(tmp_path: Path, side: ReleaseSide) -> None:
    asking = Verifier(tmp_path / "trust", side.repository.first_root())
    asking.stop()
    with pytest.raises(UnansweredError, match="ending"):
        asking.verify(CLOCK, {})


@pytest.mark.parametrize("root", [b"", b"\xff", b"{}", b"[" * 10_000, b'{"signed": {"_type": "timestamp"}}'])
def test_an_installation_without_a_root_is_refused_at_once(tmp_path: Path, root: bytes) -> None:
    with pytest.raises(EdgewiseError, match=r"install root\.json again"):
        Verifier(tmp_path, root)


def test_a_disk_that_takes_nothing_is_not_called_a_wrong_root(tmp_path: Path, side: ReleaseSide) -> None:
    (tmp_path / "file").touch()
    asking = Verifier(tmp_path / "file" / "trust", side.repository.first_root())
    said = asking.verify(CLOCK, {}, [Sealed(DESIRED_TYPE, b"x")])
    assert said.refused.startswith("verified metadata cannot be kept (")
    assert said.refused.endswith("; check the disk.")
    assert said.online.threshold == 0  # nothing is known, so nothing is revoked


def test_the_time_that_a_revoked_key_signed_does_not_count_when_its_successors_metadata_are_judged(
    tmp_path: Path, side: ReleaseSide
) -> None:
    asking = Verifier(tmp_path / "trust", side.repository.first_root())
    fresh = asking.verify(CLOCK, side.repository.files()).metadata
    assert fresh is not None
    assert fresh.signers == asking.first_keys
    ahead = TrustedClock(time.time, time.monotonic, SignedTime(time.time() + 1e7, fresh.signers))
    assert "has expired" in asking.verify(ahead, side.repository.files()).refused
    side.repository.rotate("online")
    answer = asking.verify(ahead, side.repository.files())
    assert answer.metadata is not None
    assert answer.online.ids == answer.metadata.signers != fresh.signers


@pytest.mark.parametrize("kept", [True, False], ids=["never rotated", "rotated before"])
def test_what_an_earlier_agent_kept_counts_as_signed_by_the_installations_online_key(
    tmp_path: Path, kept: bool
) -> None:
    store = StateStore(tmp_path / "state.db")
    state = DesiredState(scope="group/g", revision=5, model=tiny(1).manifest.ref, issued=1, expires=500)
    with store.transaction():
        store.save_desired(state, ())
        store.save_seen("group/g", "0" * 64)
        store.save_time(SignedTime(900.0))
    clock = TrustedClock(lambda: 100.0, lambda: 0.0, SignedTime(store.time().seconds, ("first",)))
    tracker = DesiredTracker(store, clock, lambda: 0.0, device="d", groups=["g"], first_keys=("first",))
    tracker.receive_envelope("group/g", b"envelope")
    tracker.want_metadata()
    inbox = Inbox(tmp_path / "other")
    assert tracker.question(inbox) is not None  # type: ignore[arg-type]
    online = OnlineKeys(("first",) if kept else ("second",), 1)
    tracker.take(Answer(refused="not all is here", opened=(Opened(refused="x"),), online=online))
    assert (tracker.in_force(None) is not None) == kept
    assert clock.now() == (900.0 if kept else 100.0)
    assert ("group/g" in store.desired()) == ("group/g" in store.seen()) == kept
    assert store.time().seconds == (900.0 if kept else 0.0)


def test_what_was_verified_is_known_without_a_broker_and_metadata_too_large_is_not_taken(
    tmp_path: Path, side: ReleaseSide
) -> None:
    side.releases.add(tiny(1))
    asking = Verifier(tmp_path / "trust", side.repository.first_root())
    assert asking.verify(CLOCK, {}).metadata is None
    files = side.repository.files()
    large = files | {"2.targets.json": files["2.targets.json"] + b" " * limits.METADATA_BYTES}
    refused_list = asking.verify(CLOCK, large)
    assert refused_list.metadata is None
    assert refused_list.refused
    fresh = asking.verify(CLOCK, files).metadata
    assert fresh is not None
    assert fresh.release(tiny(1).manifest.ref).size == len(tiny(1).model)
    assert asking.verify(CLOCK, {}).metadata == fresh
    signed = side.desired.issue("group/g", tiny(1).manifest.ref).envelope
    sealed = [Sealed(DESIRED_TYPE, b"junk"), Sealed(DESIRED_TYPE, signed)]
    refused, opened = asking.verify(CLOCK, {}, sealed).opened
    assert "no signed envelope" in refused.refused
    assert not refused.payload
    assert msgspec.json.decode(opened.payload, type=DesiredState).scope == "group/g"


def test_a_newest_root_that_a_power_cut_took_is_linked_anew(tmp_path: Path, side: ReleaseSide) -> None:
    asking = Verifier(tmp_path / "trust", side.repository.first_root())
    assert asking.verify(CLOCK, side.repository.files()).metadata is not None
    link = tmp_path / "trust" / "root.json"
    link.resolve().unlink()
    assert link.is_symlink()
    assert not link.exists()
    assert asking.verify(CLOCK, {}).metadata is not None
    assert link.exists()


def counting(folder: Path, *, fails: int) -> tuple[str, ...]:
    """The real child, after so many that end badly in several ways; each start leaves a line in `folder`/starts."""
    script = folder / "child.py"
    script.write_text(
        "import os, sys, pathlib\n"
        f"starts = pathlib.Path({str(folder / 'starts')!r})\n"
        "with starts.open('a') as file: file.write('x')\n"
        "number = len(starts.read_text())\n"
        f"if number <= {fails}:\n"
        "    [os.abort, lambda: os.kill(os.getpid(), 9), lambda: os._exit(0)][number % 3]()\n"
        f"os.execv(sys.executable, {list(COMMAND)!r})\n"
    )
    return (sys.executable, str(script))


def test_an_order_whose_verification_dies_is_tried_again_and_nothing_changes_meanwhile(
    tmp_path: Path, broker: Broker, side: ReleaseSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_waits(monkeypatch)
    monkeypatch.setattr(desired_tracker, "RETRY_S", 0.05)
    command = counting(tmp_path, fails=4)
    root, factory = side.repository.first_root(), FIXTURES / "tiny-1.ewm"
    with Device(tmp_path / "device", broker.port, root, factory=factory, verify_command=command) as device:
        side.push(tiny(2))
        device.until_reason("verifying signatures ended")
        assert device.activated == [tiny(1).manifest.ref]
        device.until("committed")
    assert device.activated == [tiny(1).manifest.ref, tiny(2).manifest.ref]
    assert len((tmp_path / "starts").read_text()) > 4


def test_a_restart_with_nothing_new_verifies_nothing_again(
    tmp_path: Path, broker: Broker, side: ReleaseSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_waits(monkeypatch)
    command = counting(tmp_path, fails=0)
    root = side.repository.first_root()
    with Device(tmp_path / "device", broker.port, root, verify_command=command) as device:
        side.push(tiny(1))
        device.until("committed")
    starts = (tmp_path / "starts").read_text()
    with Device(tmp_path / "device", broker.port, root, verify_command=command) as device:
        eventually(lambda: device.control.connected and device.reports, "the restart")
        side.say(topics.trust("index.json"), side.repository.files()["index.json"])  # received after what was retained
        second = side.push(tiny(1))
        eventually(lambda: device.reported.revision == side.desired.all()[0].state.revision, "the new revision")
        assert device.running == second.digest
    assert len((tmp_path / "starts").read_text()) == len(starts) + 1  # for the new revision alone


class Inbox:
    """A tracker with a clock that a test sets and files that are all there."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.system = 100.0
        clock = TrustedClock(lambda: self.system, lambda: self.now)
        self.store = StateStore(folder / "state.db")
        self.tracker = DesiredTracker(self.store, clock, lambda: self.now, device="d", groups=["g"])
        self.files = RetainedFiles()
        index = b'{"root":1,"snapshot":1,"targets":1}'
        for name in ("timestamp.json", "1.snapshot.json", "1.targets.json", "index.json"):
            self.files.receive(topics.trust(name), index)

    def ask(self) -> "desired_tracker.Asked | None":
        return self.tracker.question(self)  # type: ignore[arg-type]  # only `metadata` is asked for

    def metadata(self, now: float) -> RetainedFiles:
        assert now == self.now
        return self.files


METADATA = TrustedMetadata(version=1, expires=1000.0, releases={})


def test_what_was_not_answered_is_asked_again_with_what_came_meanwhile(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.tracker.receive_envelope("group/g", b"first")
    inbox.tracker.receive_envelope("device/d", b"other")
    asked = inbox.ask()
    assert asked is not None
    assert asked.envelopes == {"group/g": b"first", "device/d": b"other"}
    inbox.tracker.receive_envelope("group/g", b"second")
    assert not inbox.tracker.due  # one question at a time
    inbox.tracker.unanswered("killed")
    assert inbox.tracker.notice == "killed"
    inbox.now = desired_tracker.LONGEST_RETRY_S
    assert inbox.tracker.due
    again = inbox.ask()
    assert again is not None
    assert again.envelopes == {"group/g": b"second", "device/d": b"other"}


def test_the_question_waits_until_the_index_is_satisfied_or_the_broker_is_silent(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.files.receive(topics.trust("index.json"), b'{"root":3,"snapshot":1,"targets":1}')
    inbox.tracker.want_metadata()
    assert inbox.ask() is None
    for version in (2, 3):
        inbox.files.receive(topics.trust(f"{version}.root.json"), b"root")
    assert inbox.ask() is not None
    inbox.tracker.unanswered("")
    inbox.files.receive(topics.trust("index.json"), b"\x00")
    assert inbox.ask() is None
    inbox.now = 60.0
    assert inbox.ask() is not None


def test_who_says_what_is_not_believed_again_and_again_is_heard_more_and_more_seldom(tmp_path: Path) -> None:
    inbox, pauses = Inbox(tmp_path), []
    for number in range(12):
        inbox.tracker.receive_envelope("group/g", f"junk {number}".encode())
        began = inbox.now
        while not inbox.tracker.due:
            inbox.now += 0.01
        pauses.append(inbox.now - began)
        assert inbox.ask() is not None
        inbox.tracker.take(Answer(metadata=METADATA, opened=(Opened(refused="junk"),)))
    assert pauses[-1] > 10 * pauses[2]
    assert "junk" in inbox.tracker.notice


def test_bytes_believed_before_cost_no_process_when_they_come_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    state = DesiredState(scope="group/g", revision=1, model=tiny(1).manifest.ref, issued=1, expires=500)
    opened = (Opened(payload=msgspec.json.encode(state)),)
    inbox.tracker.receive_envelope("group/g", b"envelope")
    assert inbox.ask() is not None
    assert inbox.tracker.take(Answer(metadata=METADATA, opened=opened))
    restarted = DesiredTracker(inbox.store, TrustedClock(lambda: 0, lambda: 0), lambda: 0, device="d", groups=["g"])
    for again in (inbox.tracker, restarted):
        again.receive_envelope("group/g", b"envelope")
        again.receive_timestamp(inbox.files.held()["timestamp.json"])
        assert not again.pending
        again.receive_envelope("group/g", b"another")
        assert again.pending


def test_what_had_expired_is_asked_again_once_each_time_the_clock_says_that_it_has_not(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    state = DesiredState(scope="group/g", revision=1, model=tiny(1).manifest.ref, issued=1, expires=500)
    opened = (Opened(payload=msgspec.json.encode(state)),)
    inbox.tracker.receive_envelope("group/g", b"envelope")
    for system in (600.0, 500.0, 700.0):
        inbox.system = system
        assert inbox.ask() is not None
        inbox.tracker.take(Answer(metadata=METADATA, opened=opened))
        assert "has expired" in inbox.tracker.notice
        inbox.tracker.look_at_clock()
        assert not inbox.tracker.pending
        inbox.system = 499.0
        inbox.tracker.look_at_clock()
        assert inbox.tracker.pending
    asked = inbox.ask()
    assert asked is not None
    assert asked.envelopes == {"group/g": b"envelope"}
    inbox.tracker.take(Answer(metadata=METADATA, opened=opened))
    assert (inbox.tracker.notice, inbox.tracker.revision) == ("", 1)


def test_what_was_signed_by_a_key_not_known_yet_is_asked_again_when_the_root_names_others(tmp_path: Path) -> None:
    inbox, before, after = Inbox(tmp_path), OnlineKeys(("old",), 1), OnlineKeys(("new",), 1)
    refused, none = (Opened(refused="no trusted key"),), ()
    inbox.tracker.receive_envelope("group/g", b"envelope")
    for online, opened, pending in ((before, refused, False), (before, none, False), (after, none, True)):
        inbox.tracker.want_metadata()
        assert inbox.ask() is not None
        inbox.tracker.take(Answer(metadata=METADATA, opened=opened, online=online))
        assert inbox.tracker.pending is pending
    assert inbox.ask() is not None
    inbox.tracker.take(Answer(metadata=METADATA, opened=refused, online=after))
    assert not inbox.tracker.pending  # these keys have judged it


def test_of_two_refused_only_the_one_that_came_last_is_asked_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for envelope in (b"first", b"second"):
        inbox.tracker.receive_envelope("group/g", envelope)
        assert inbox.ask() is not None
        inbox.tracker.take(Answer(metadata=METADATA, opened=(Opened(refused="no"),), online=OnlineKeys(("old",), 1)))
    inbox.tracker.want_metadata()
    assert inbox.ask() is not None
    inbox.tracker.take(Answer(metadata=METADATA, online=OnlineKeys(("new",), 1)))
    asked = inbox.ask()
    assert asked is not None
    assert asked.envelopes == {"group/g": b"second"}


REMEMBER_MODULES = """
import signal, sys
def dump(*_):
    with open({file!r}, "w") as file:
        file.write(" ".join(sorted(sys.modules)))
signal.signal(signal.SIGUSR2, dump)
"""


def test_the_agent_that_carried_an_update_through_holds_nothing_that_checks_signatures(
    tmp_path: Path, broker: Broker, side: ReleaseSide
) -> None:
    clip, modules = tmp_path / "clip.avi", tmp_path / "modules"
    render_clip(clip, 1.0)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(REMEMBER_MODULES.format(file=str(modules)))
    (tmp_path / "root.json").write_bytes(side.repository.first_root())
    subscriber = Subscriber(broker.port)
    model = f"trust_root = 'root.json'\nfactory = {json.dumps(str(FIXTURES / 'tiny-1.ewm'))}"
    with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n", model=model).start(
        PYTHONPATH=f"{tmp_path / 'site'}:{REPOSITORY}"
    ) as agent:
        side.push(tiny(2), f"group/{GROUP}")
        said = lambda: [(r.state, r.active and r.active.release) for r in subscriber.messages("reported", Reported)]  # noqa: E731
        eventually(lambda: ("committed", 2) in said(), lambda: agent.log)
        agent.signal(signal.SIGUSR2)
        eventually(lambda: modules.exists() and modules.read_text(), lambda: agent.log)
        loaded = {name.partition(".")[0] for name in modules.read_text().split()}
        agent.stop()
    subscriber.link.stop()
    assert "edge_agent" in loaded
    assert not loaded & {"tuf", "cryptography", "securesystemslib", "urllib3", "requests"}
