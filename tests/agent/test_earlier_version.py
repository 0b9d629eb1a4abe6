"""An agent started on what version 0.1.0 left behind goes on from there: model, memory of failures, and messages."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_contract.messages import Availability, CommandResult, Reported, decode
from edge_simulator.broker import Broker, free_port
from edge_vision.classifier import runtime
from tests import earlier_version
from tests.agent.agent_process import REPOSITORY, AgentProcess, Subscriber, render_clip
from tests.eventually import eventually

LEFT = earlier_version.retained_json("device/cam-1/reported")
SESSION = LEFT["session"]
WITHOUT_BLOBS = {topic: payload for topic, payload in earlier_version.retained().items() if "/blob/" not in topic}
"""A device that needed to download anything would wait for ever."""
SETTINGS = "loop = true\n[spool]\nmax_age_s = 1e12\n"
"""The messages in the spool are years old by now."""


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a real face."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    render_clip(path, 2.0)
    return path


def agent(folder: Path, port: int, clip: Path, extra: str = SETTINGS) -> AgentProcess:
    """This version's agent on the state directory of the version before."""
    earlier_version.copy_state(folder)
    return AgentProcess(folder, port, clip, extra=extra, model=f"trust_root = {json.dumps(str(earlier_version.ROOT))}")


def reports(subscriber: Subscriber) -> list[Reported]:
    """What the device reported since the start of this version."""
    return [report for report in subscriber.messages("reported", Reported) if report.session > SESSION]


def runs(subscriber: Subscriber, release: int, state: str) -> bool:
    """Whether the last report has this release of tiny active in this state."""
    last = reports(subscriber)[-1:]
    return bool(last) and last[0].state == state and last[0].active is not None and last[0].active.release == release


def test_the_committed_model_runs_at_once_without_a_broker(tmp_path: Path, clip: Path) -> None:
    running = agent(tmp_path, free_port(), clip, extra='pace = "fast"\n[spool]\nmax_age_s = 1e12\n')
    status = _status(running)
    assert (status["model"], status["origin"], status["update"]) == ("tiny 2", "release", "committed")
    assert status["digest"] == LEFT["active"]["digest"]
    assert status["spool_rows"] == len(earlier_version.spooled())
    assert status["overrides"] == {"telemetry.interval_s": 2, "pipeline.consensus.repeat": 1}
    with running:
        code, summary = running.wait()
    assert code == 0, running.log
    assert summary["releases"] == [f"tiny 2 {LEFT['active']['digest'][:12]}"]
    assert summary["frames"] == 60
    assert summary["spool_rows"] > len(earlier_version.spooled())


def test_the_device_reports_what_it_did_before_and_downloads_nothing(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    earlier_version.publish_all(broker.port, WITHOUT_BLOBS)
    subscriber = Subscriber(broker.port)
    with agent(tmp_path, broker.port, clip) as running:
        eventually(lambda: reports(subscriber), lambda: running.log)
        running.stop()
    subscriber.link.stop()
    assert {
        (report.state, report.revision, report.active.release) for report in reports(subscriber) if report.active
    } == {("committed", LEFT["revision"], 2)}
    assert {report.target.digest for report in reports(subscriber) if report.target} == {LEFT["target"]["digest"]}
    sessions = [message.session for message in subscriber.messages("availability", Availability)]
    assert sessions[0] == SESSION < sessions[1]


def test_messages_left_in_the_spool_are_sent_with_their_session_and_sequence(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    left = earlier_version.spooled()
    subscriber = Subscriber(broker.port)

    def sent() -> dict[tuple[int, int], tuple[str, dict[str, Any]]]:
        messages = [
            (topic.rpartition("/")[2], json.loads(payload)) for topic, payload in subscriber.received if payload
        ]
        return {
            (body["session"], body["sequence"]): (kind, body)
            for kind, body in messages
            if kind in {"telemetry", "prediction"}
        }

    with agent(tmp_path, broker.port, clip) as running:
        eventually(lambda: any(session > SESSION for session, _ in sent()), lambda: running.log)
        running.stop()
    subscriber.link.stop()
    for message in left:
        kind, body = sent()[message.session, message.sequence]
        assert kind == message.kind
        keys = {"sequence": message.sequence, "oldest": [SESSION, left[0].sequence]}
        assert body == {**body, **message.body, **keys}
    fresh = [sequence for session, sequence in sent() if session > SESSION]
    assert min(fresh) > left[-1].sequence


def test_a_release_that_failed_under_the_version_before_is_not_tried_again(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    if runtime() != earlier_version.retained_json("device/cam-1/info")["runtime"]:
        pytest.skip("it failed under another runtime than the one installed here, which may try it again")
    earlier_version.publish_all(broker.port, WITHOUT_BLOBS)
    earlier_version.publish_all(broker.port, earlier_version.signed_later("the refused release again"))
    subscriber = Subscriber(broker.port)
    with agent(tmp_path, broker.port, clip) as running:
        eventually(lambda: reports(subscriber) and reports(subscriber)[-1].state == "rejected", lambda: running.log)
        running.stop()
    subscriber.link.stop()
    last = reports(subscriber)[-1]
    assert "known inputs were answered wrongly" in last.reason
    assert last.active is not None
    assert last.active.release == 2
    assert not {"downloading", "selftest"} & {report.state for report in reports(subscriber)}


def test_a_signed_command_brings_back_the_release_before_from_its_slot(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    earlier_version.publish_all(broker.port, WITHOUT_BLOBS)
    command = earlier_version.signed_later("roll back")
    answer = f"{next(iter(command))}/result"
    subscriber = Subscriber(broker.port)
    with agent(tmp_path, broker.port, clip) as running:
        eventually(lambda: reports(subscriber), lambda: running.log)
        earlier_version.publish_all(broker.port, command, retain=False)
        eventually(lambda: runs(subscriber, 1, "rolled-back"), lambda: running.log)
        eventually(lambda: any(topic == answer for topic, _ in subscriber.received), lambda: running.log)
        _, summary = running.stop()
    subscriber.link.stop()
    (result,) = [decode(payload, CommandResult) for topic, payload in subscriber.received if topic == answer]
    assert result.ok, result.detail
    assert [name.rpartition(" ")[0] for name in summary["releases"]] == ["tiny 2", "tiny 1"]


def test_a_desired_state_signed_for_the_version_before_is_followed(broker: Broker, tmp_path: Path, clip: Path) -> None:
    earlier_version.publish_all(broker.port, earlier_version.retained())
    earlier_version.publish_all(broker.port, earlier_version.signed_later("the release before"))
    subscriber = Subscriber(broker.port)
    with agent(tmp_path, broker.port, clip) as running:
        eventually(lambda: runs(subscriber, 1, "committed"), lambda: running.log)
        running.stop()
    subscriber.link.stop()
    assert reports(subscriber)[-1].revision > LEFT["revision"]


def _status(agent: AgentProcess) -> dict[str, Any]:
    command = [sys.executable, "-m", "edge_agent", "status", "--config", str(agent.config), "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    status: dict[str, Any] = json.loads(done.stdout)
    return status
