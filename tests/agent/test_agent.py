"""The whole agent, as a process, over a real mosquitto: what it says, how it ends, and what it can be told."""

import itertools
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent import settings_file
from edge_agent.agent import Agent
from edge_agent.system.systemd import ServiceManager
from edge_contract import topics
from edge_contract.envelope import seal
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.messages import (
    Ack,
    Availability,
    Command,
    CommandResult,
    Info,
    ModelRef,
    Prediction,
    Reported,
    ShadowCounts,
    Telemetry,
    decode,
)
from edge_contract.trust import COMMAND_TYPE, SignedCommand
from edge_contract.wave import ShadowTerms
from edge_fleet.devices.commands import DeviceCommands, arguments_of
from edge_fleet.link import Link as FleetLink
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker, free_port
from tests.agent.agent_process import DEVICE, FIXTURES, REPOSITORY, AgentProcess, Subscriber, render_clip
from tests.agent.update.update_bench import ReleaseSide, tiny
from tests.eventually import eventually

OFTEN = "[telemetry]\ninterval_s = 1\n"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a real face, 60 frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    assert render_clip(path, 2.0) == 60
    return path


def test_a_clip_is_looked_at_to_its_end_and_every_frame_is_accounted_for(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    subscriber = Subscriber(broker.port)
    with AgentProcess(tmp_path, broker.port, clip, extra='pace = "fast"\n') as agent:
        status, summary = agent.wait()
    subscriber.link.stop()
    assert status == 0, agent.log
    assert (summary["frames"], summary["dropped"], summary["errors"]) == (60, 0, 0)
    assert summary["releases"] == [f"tiny 1 {tiny(1).manifest.digest[:12]}"]
    predictions = subscriber.messages("prediction", Prediction)
    assert len(predictions) == summary["predictions"] > 0
    assert predictions[0].model == tiny(1).manifest.ref
    assert predictions[0].label in tiny(1).manifest.labels
    last = subscriber.messages("telemetry", Telemetry)[-1]
    assert last.counters["frames"] == 60
    assert sum(last.stages["whole"].counts) == 60
    assert sum(last.emotions.values()) == sum(last.confidence.counts) == sum(last.stages["invoke"].counts)
    assert last.gauges["rss_bytes"] > 1e6
    states = [message.state for message in subscriber.messages("availability", Availability)]
    assert states == ["online", "stopped"]
    (info,) = subscriber.messages("info", Info)
    assert (info.device, info.groups, info.camera) == (DEVICE, ("shop",), "clip.avi")
    assert subscriber.messages("reported", Reported)[-1].active == tiny(1).manifest.ref
    entries = [json.loads(line) for line in agent.log.splitlines()]  # one object a line, also what C libraries print
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)


def test_an_interrupt_ends_it_cleanly_with_a_last_word(broker: Broker, tmp_path: Path, clip: Path) -> None:
    """SIGTERM does the same; the other tests end with it."""
    subscriber = Subscriber(broker.port)
    with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n") as agent:
        eventually(lambda: subscriber.messages("prediction", Prediction), lambda: agent.log)
        agent.signal(signal.SIGINT)
        status, summary = agent.wait()
    subscriber.link.stop()
    assert status == 0
    assert summary["frames"] > 0
    assert subscriber.messages("availability", Availability)[-1].state == "stopped"
    assert "Traceback" not in agent.log


def test_a_kill_leaves_the_will_and_the_next_run_has_a_newer_session_and_sends_what_was_left(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    subscriber = Subscriber(broker.port)
    with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n" + OFTEN) as agent:
        eventually(lambda: subscriber.messages("prediction", Prediction), lambda: agent.log)
        agent.signal(signal.SIGKILL)
        agent.process.wait()  # type: ignore[union-attr]
        eventually(lambda: subscriber.messages("availability", Availability)[-1].state == "offline")
        first = subscriber.messages("prediction", Prediction)[0]
        before = len(subscriber.messages("prediction", Prediction))
        agent.configure('pace = "fast"\n')
        status, summary = agent.start().wait()
    subscriber.link.stop()
    assert status == 0, agent.log
    again = subscriber.messages("prediction", Prediction)[before:]
    assert (first.session, first.sequence) in {(message.session, message.sequence) for message in again}
    sessions = [message.session for message in subscriber.messages("availability", Availability)]
    assert sessions[0] == sessions[1] < sessions[2]
    assert summary["spool_rows"] > 0  # nobody acknowledged anything


@pytest.mark.parametrize("seed", range(3))
def test_with_flipped_bits_in_its_databases_it_comes_up_and_telemetry_arrives(
    seed: int, broker: Broker, tmp_path: Path
) -> None:
    """Twenty bits in each, of rows and pages, and once of the pages' headers and the file's, too."""
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((48, 64), 90, np.uint8))
    chance = random.Random(seed)  # noqa: S311  # which bits
    subscriber = Subscriber(broker.port)
    with AgentProcess(tmp_path, broker.port, tmp_path / "picture.png", extra="loop = true\n" + OFTEN) as agent:
        eventually(lambda: len(subscriber.messages("telemetry", Telemetry)) > 2, lambda: agent.log)
        agent.stop()
        for name in ("spool.db", "state.db"):
            path = tmp_path / "state" / name
            data = bytearray(path.read_bytes())
            places = [chance.randrange(4096, len(data)) for _ in range(20)]
            if seed == 0:  # else the file's own header stays
                places += [chance.randrange(100) for _ in range(4)]
                places += [page * 4096 + chance.randrange(8) for page in range(1, len(data) // 4096)]
            places = [place for place in places if not 60 <= place < 64]  # a newer agent's number is said, and ends it
            for place in places:
                data[place] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        subscriber.received.clear()
        agent.start()
        eventually(lambda: subscriber.messages("telemetry", Telemetry), lambda: agent.log)
        checked = subprocess.run(
            [sys.executable, "-m", "edge_agent", "status", "--check", "--config", str(agent.config)],
            capture_output=True, text=True, check=False, cwd=REPOSITORY,
        )  # fmt: skip
        assert checked.returncode == 0 or "restart" in checked.stderr or "check the disk" in checked.stderr
        eventually(lambda: subscriber.messages("telemetry", Telemetry)[-1].counters.get("frames", 0) > 0)
        status, _ = agent.stop()
    subscriber.link.stop()
    assert status == 0
    assert "Traceback" not in agent.log


def test_a_real_bridge_empties_the_spool(broker: Broker, tmp_path: Path, clip: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="the bridge's packages are not installed")
    database = tmp_path / "predictions.db"
    port = free_port()
    arguments = ["--broker", f"mqtt://127.0.0.1:{broker.port}", "--listen", f"127.0.0.1:{port}"]
    code = "import sys; from edge_bridge.cli import main; sys.exit(main())"
    bridge = subprocess.Popen(
        [sys.executable, "-c", code, "run", *arguments, "--database", f"sqlite:///{database}"], cwd=REPOSITORY
    )
    try:
        eventually(lambda: ready(port))
        with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n" + OFTEN) as agent:
            subscriber = Subscriber(broker.port)
            eventually(lambda: subscriber.messages("prediction", Prediction), lambda: agent.log)
            eventually(lambda: subscriber.messages("ack", Ack), lambda: agent.log)
            eventually(lambda: held(tmp_path / "state" / "spool.db") == 0, lambda: agent.log)
            status, _ = agent.stop()
            subscriber.link.stop()
    finally:
        bridge.terminate()
        bridge.wait()
    assert status == 0
    assert sqlite3.connect(database).execute("SELECT count(*) FROM predictions").fetchone()[0] > 0


def ready(port: int) -> bool:
    """Whether the bridge has subscribed and can store."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def held(spool: Path) -> int:
    """Messages in a spool that somebody else is using."""
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=10)) as database:
        return int(database.execute("SELECT count(*) FROM message").fetchone()[0])


def test_two_releases_pushed_to_a_running_agent_become_active_and_no_frame_fails(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    side = ReleaseSide(tmp_path / "fleet", broker.port)
    root = tmp_path / "root.json"
    root.write_bytes(_first_root(tmp_path / "fleet"))
    subscriber = Subscriber(broker.port, topics.device(DEVICE, "reported"))
    model = f"trust_root = {json.dumps(str(root))}"

    def committed(release: int) -> bool:
        said = subscriber.messages("reported", Reported)
        ref = tiny(release).manifest.ref
        return bool(said) and said[-1].state == "committed" and said[-1].active == ref

    with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n", model=model) as agent:
        for release in (1, 2):
            side.push(tiny(release))
            eventually(lambda release=release: committed(release), lambda: agent.log)  # type: ignore[misc]
        status, summary = agent.stop()
    subscriber.link.stop()
    assert status == 0, agent.log
    assert [name.rpartition(" ")[0] for name in summary["releases"]] == ["tiny 1", "tiny 2"]
    assert summary["errors"] == 0


def test_a_release_in_shadow_is_compared_on_the_faces_that_the_running_one_answers_and_then_takes_its_place(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    side = ReleaseSide(tmp_path / "fleet", broker.port)
    root = tmp_path / "root.json"
    root.write_bytes(_first_root(tmp_path / "fleet"))
    subscriber = Subscriber(broker.port, topics.device(DEVICE, "+"))
    model = f"trust_root = {json.dumps(str(root))}\nfactory = {json.dumps(str(FIXTURES / 'tiny-1.ewm'))}"
    one, two = tiny(1).manifest.ref, tiny(2).manifest.ref

    def reported(state: str, active: ModelRef) -> bool:
        said = subscriber.messages("reported", Reported)[-1:]
        return bool(said) and (said[0].state, said[0].active) == (state, active)

    def shadows() -> list[ShadowCounts | None]:
        return [window.shadow for window in subscriber.messages("telemetry", Telemetry)]

    def looks() -> int:
        found = shadows()
        return found[-1].looks if found and found[-1] is not None else 0

    extra = "loop = true\n[telemetry]\ninterval_s = 1.0\n"
    with AgentProcess(tmp_path, broker.port, clip, extra=extra, model=model) as agent:
        side.wave(tiny(1), tiny(2), "shadow", shadow=ShadowTerms(spacing=0.2, sure=0.0))
        eventually(lambda: reported("shadowing", one), lambda: agent.log)
        eventually(lambda: looks() >= 5, lambda: agent.log)
        side.wave(tiny(1), tiny(2), "active")
        eventually(lambda: reported("committed", two), lambda: agent.log)
        eventually(lambda: shadows()[-1] is None, lambda: agent.log)
        status, summary = agent.stop()
    subscriber.link.stop()
    assert status == 0, agent.log
    assert summary["errors"] == 0
    counted = [found for found in shadows() if found is not None]
    assert all((found.champion, found.challenger) == (one, two) for found in counted)
    for before, after in itertools.pairwise(counted):
        assert before.looks <= after.looks
        assert before.agreed <= after.agreed
    last = counted[-1]
    assert last.failures == 0
    assert sum(count for row in last.confusion.values() for count in row.values()) == last.looks
    assert sum(row.get(label, 0) for label, row in last.confusion.items()) == last.agreed
    assert sum(last.sure.values()) == last.looks
    assert sum(last.contradicted.values()) == last.looks - last.agreed
    assert sum(last.champion_latency.counts) == sum(last.challenger_confidence.counts) == last.looks
    infos = subscriber.messages("info", Info)
    assert {info.camera_kind for info in infos} == {"file"}
    predictions = subscriber.messages("prediction", Prediction)
    assert {prediction.model for prediction in predictions} <= {one, two}


def _first_root(fleet: Path) -> bytes:
    return next(fleet.rglob("1.root.json")).read_bytes()


def test_signed_commands_are_done_once_and_answered_and_unsigned_ones_are_not(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    side = ReleaseSide(tmp_path / "fleet", broker.port)
    (tmp_path / "root.json").write_bytes(_first_root(tmp_path / "fleet"))
    stranger = ReleaseSide(tmp_path / "stranger", broker.port)
    model = f"trust_root = 'root.json'\nfactory = {json.dumps(str(FIXTURES / 'tiny-1.ewm'))}"
    subscriber = Subscriber(broker.port)

    def send(number: str, name: Any, signer: ReleaseSide = side, **arguments: Any) -> None:
        now = time.time()
        command = SignedCommand(
            device=DEVICE, id=number, command=Command(name=name, arguments=arguments), issued=now, expires=now + 600
        )
        envelope = seal(command, COMMAND_TYPE, signer.repository.online_signer())
        assert subscriber.link.publish(topics.command(DEVICE, number), envelope)

    def answer(number: str) -> CommandResult:
        topic = topics.command_result(DEVICE, number)
        eventually(lambda: any(said == topic for said, _ in subscriber.received), lambda: agent.log)
        answers = [decode(payload, CommandResult) for said, payload in subscriber.received if said == topic]
        assert len(answers) == 1
        return answers[0]

    with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n", model=model) as agent:
        eventually(lambda: subscriber.messages("prediction", Prediction), lambda: agent.log)
        send("c1", "identify", stranger)
        send("c2", "identify")
        send("c2", "identify")
        assert DEVICE in answer("c2").detail
        send("c3", "set-config", **{"telemetry.interval_s": 1, "log.level": "debug"})
        assert answer("c3").ok
        eventually(lambda: len(subscriber.messages("telemetry", Telemetry)) >= 2, lambda: agent.log)
        send("c4", "set-config", **{"broker.host": "elsewhere"})
        assert not answer("c4").ok
        send("c5", "selftest")
        assert "known inputs rightly" in answer("c5").detail
        with FleetLink(BrokerAddress(port=broker.port)) as link:
            commands = DeviceCommands(side.repository, link)
            assert "service manager" in commands.send(DEVICE, Command(name="restart"), 60).detail
            again = Command(name="set-config", arguments=dict(arguments_of(["telemetry.interval_s=2.5"])))
            assert commands.send(DEVICE, again, 60).ok
            with pytest.raises(EdgewiseError, match="did not answer"):
                commands.send("cam-9", Command(name="identify"), 0.2)
        send("c7", "rollback")
        assert answer("c7").ok
        status, _ = agent.stop()
    subscriber.link.stop()
    assert status == 0
    assert not [topic for topic, _ in subscriber.received if topic == topics.command_result(DEVICE, "c1")]
    assert answer("c2").ok  # the second delivery got no second answer
    assert json.loads((tmp_path / "state" / "set-config.json").read_text())["telemetry.interval_s"] == 2.5


def test_sighup_reloads_what_is_safe_and_names_what_is_not(broker: Broker, tmp_path: Path, clip: Path) -> None:
    subscriber = Subscriber(broker.port)
    with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n[telemetry]\ninterval_s = 3600\n") as agent:
        eventually(lambda: subscriber.messages("prediction", Prediction), lambda: agent.log)
        agent.configure("loop = true\nfps = 15\n[telemetry]\ninterval_s = 1\n[log]\nlevel = 'debug'\n")
        agent.signal(signal.SIGHUP)
        eventually(lambda: "a restart is needed for source.fps" in agent.log, lambda: agent.log)
        agent.configure("loop = maybe\n")
        agent.signal(signal.SIGHUP)
        eventually(lambda: "the settings were not reloaded" in agent.log, lambda: agent.log)
        status, _ = agent.stop()
    subscriber.link.stop()
    assert status == 0


def test_the_service_manager_hears_ready_alive_and_stopping(broker: Broker, tmp_path: Path, clip: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = str(tmp_path / "notify")
        manager.bind(path)
        manager.settimeout(60)
        with AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n") as agent:
            agent.process.kill()  # type: ignore[union-attr]
            agent.process.wait()  # type: ignore[union-attr]
            agent.start(NOTIFY_SOCKET=path, WATCHDOG_USEC="30000000")
            received = [manager.recv(1000).decode(), manager.recv(1000).decode()]
            status, _ = agent.stop()
            while not received[-1].startswith("STOPPING"):
                received.append(manager.recv(1000).decode())
    assert status == 0
    assert received[0].startswith("READY=1\nSTATUS=looking through")
    assert received[1] == "WATCHDOG=1"


def test_without_a_broker_it_looks_and_keeps_and_ends_as_well(tmp_path: Path, clip: Path) -> None:
    with AgentProcess(tmp_path, free_port(), clip, extra='pace = "fast"\n') as agent:
        status, summary = agent.wait()
    assert status == 0
    assert summary["frames"] == 60
    assert summary["connects"] == 0
    assert summary["spool_rows"] >= summary["predictions"] + 1


@pytest.mark.parametrize(
    ("model", "source", "sentence"),
    [
        (None, "nowhere.avi", "is no camera index, URL, file or folder"),
        ("threads = 1", "clip", "the settings name no model"),
        ("trust_root = 'none.json'", "clip", "none.json cannot be read"),
        ("factory = 'agent.toml'", "clip", "damaged or no .ewm package"),
    ],
)
def test_what_cannot_run_is_refused_with_one_sentence_before_anything_starts(
    tmp_path: Path, clip: Path, *, model: str | None, source: str, sentence: str
) -> None:
    described = AgentProcess(tmp_path, free_port(), clip if source == "clip" else tmp_path / source, model=model)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        Agent(settings_file.load(described.config, {}), manager=ServiceManager({}))


@pytest.mark.parametrize("name", ["nan-1", "vast-1"])
def test_a_factory_package_that_fails_its_self_test_is_refused_in_a_sentence(
    tmp_path: Path, clip: Path, name: str
) -> None:
    model = f"factory = {json.dumps(str(FIXTURES / f'{name}.ewm'))}"
    with AgentProcess(tmp_path, free_port(), clip, model=model) as agent:
        status, _ = agent.wait()
    last = agent.log.splitlines()[-1]
    assert status == 1
    assert last.startswith(f"edgewise-agent: the factory package {name.replace('-', ' ')} failed: ")
    assert last.endswith("; let model.factory name another package, or none.")
    assert "Traceback" not in agent.log


def test_a_factory_package_is_tested_once_and_another_one_again(tmp_path: Path, clip: Path) -> None:
    tested = []
    for name in ("tiny-1", "tiny-1", "tiny-2"):
        model = f"factory = {json.dumps(str(FIXTURES / f'{name}.ewm'))}"
        described = AgentProcess(tmp_path, free_port(), clip, model=model)
        with described as agent:
            assert agent.wait()[0] == 0
        tested.append(agent.log.count("self-test of the factory package"))
    assert tested == [1, 1, 2]


@pytest.mark.parametrize(("source", "status"), [("nowhere.avi", 2), ("agent.toml", 1)])
def test_the_process_ends_with_that_sentence_and_the_right_status(tmp_path: Path, source: str, status: int) -> None:
    with AgentProcess(tmp_path, free_port(), tmp_path / source) as agent:
        ended, _ = agent.wait()
    last = agent.log.splitlines()[-1]
    assert ended == status, agent.log
    assert last.startswith("edgewise-agent: ")
    assert source in last
    assert "Traceback" not in agent.log


def test_importing_the_agent_and_its_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, edge_agent, edge_agent.cli, edge_agent.agent, edge_agent.tools.doctor\n"
        "heavy = {'tensorflow', 'mlflow', 'dvc', 'prometheus_client', 'pandas', 'nicegui', 'keras', 'torch',\n"
        "         'sqlalchemy', 'matplotlib', 'typer', 'rich', 'edge_fleet', 'edge_bridge', 'train', 'convert'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_alone_loads_neither_opencv_nor_an_interpreter() -> None:
    code = "import sys, edge_agent.cli; print(sorted({'cv2', 'numpy', 'ai_edge_litert', 'tuf'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
