"""The agent's watch over its own pipeline: a hang starves the watchdog, a break ends the run with its reason."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent import agent as agent_module
from edge_agent import settings_file
from edge_agent.agent import Agent
from edge_agent.commands import receiver
from edge_agent.mqtt import link
from edge_agent.system.liveness import SILENT_S, trouble
from edge_agent.system.systemd import ServiceManager
from edge_agent.telemetry import delivery
from edge_agent.update import updater
from edge_simulator.broker import free_port
from edge_vision.faces import Face
from edge_vision.picture import Pixels
from tests.agent.agent_process import FIXTURES
from tests.agent.update.update_bench import ReleaseSide
from tests.eventually import eventually


class Manager:
    """A service manager's subscriber."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000000"}

    def received(self) -> list[str]:
        """What was said since the last call."""
        words = []
        while True:
            try:
                words.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return words


class HangingDetector:
    """Stands for a driver or an interpreter that never comes back."""

    name = "hanging"

    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()

    def detect(self, picture: Pixels) -> list[Face]:  # noqa: ARG002
        self.entered.set()
        self.leave.wait(60)
        return []


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


def agent_of(folder: Path, manager: Manager, clock: Callable[[], float], *, model: str = "", extra: str = "") -> Agent:
    (folder / "pictures").mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), np.full((48, 64), 60 * number, np.uint8))
    path = folder / "agent.toml"
    path.write_text(
        f"[device]\nid = 'cam-1'\nstate_dir = 'state'\n[broker]\nport = {free_port()}\n"
        f"[model]\nfactory = '{FIXTURES / 'tiny-1.ewm'}'\n{model}{extra}[source]\nurl = 'pictures'\nloop = true\n"
        # These tests move the clock by a minute in all, also while a picture is being read: that read does not hang.
        "read_timeout = 600\nopen_timeout = 600\n"
    )
    return Agent(settings_file.load(path, {}), manager=ServiceManager(manager.environ), clock=clock)


def test_a_pipeline_that_hangs_starves_the_watchdog_and_the_end_still_comes(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, detector = Clock(), HangingDetector()
    monkeypatch.setattr(agent_module, "open_detector", lambda *_: detector)
    monkeypatch.setattr(agent_module, "_TICK_S", 0.02)
    monkeypatch.setattr(agent_module, "_FLUSH_S", 0.2)
    agent = agent_of(tmp_path, manager, clock)
    thread = threading.Thread(target=agent.run)
    thread.start()
    assert detector.entered.wait(60)
    eventually(lambda: "WATCHDOG=1" in manager.received())
    clock.now += agent_module._STALLED_S
    hung = threading.Event()
    hung.wait(0.2)  # what was on its way when the clock jumped
    manager.received()
    hung.wait(0.3)  # fifteen looks around
    assert manager.received() == []
    assert trouble(tmp_path / "state", 1e12) != ""
    agent.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert "STOPPING=1" in manager.received()
    detector.leave.set()


def test_a_moving_pipeline_keeps_feeding_it(tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, detector = Clock(), HangingDetector()
    detector.leave.set()
    monkeypatch.setattr(agent_module, "open_detector", lambda *_: detector)
    monkeypatch.setattr(agent_module, "_TICK_S", 0.02)
    agent = agent_of(tmp_path, manager, clock)
    thread = threading.Thread(target=agent.run)
    thread.start()
    for _ in range(3):
        manager.received()
        clock.now += agent_module._STALLED_S
        eventually(lambda: "WATCHDOG=1" in manager.received())
    agent.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert SILENT_S > agent_module._STALLED_S


def test_a_pipeline_that_breaks_ends_the_run_with_its_reason(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_of(tmp_path, manager, Clock())

    def broken(_stop: threading.Event) -> None:
        raise RuntimeError("the mailbox is on fire")

    monkeypatch.setattr(agent._pipeline, "run", broken)
    with pytest.raises(RuntimeError, match="on fire"):
        agent.run()
    assert "STOPPING=1" in manager.received()


def test_a_second_agent_on_the_same_state_is_refused(tmp_path: Path, manager: Manager) -> None:
    first = agent_of(tmp_path, manager, Clock())
    with pytest.raises(Exception, match="another agent is running"):
        Agent(first._settings, manager=ServiceManager({}), clock=Clock())


def test_a_signal_handler_that_asks_for_the_end_waits_for_no_lock() -> None:
    # It may have interrupted the very thread that holds the lock, such as the one of a `threading.Event`.
    agent = object.__new__(Agent)
    called: list[Any] = []
    try:
        sys.setprofile(lambda _frame, event, function: called.append(function) if event == "c_call" else None)
        agent.stop()
        agent.reload()
    finally:
        sys.setprofile(None)
    assert [function.__name__ for function in called] == ["setprofile"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("part", ["link", "delivery", "updates", "commands", "preview"])
def test_a_thread_that_ended_is_named_by_the_health_check(
    part: str, tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread that serves the life of the process: nobody else would notice that it is gone."""
    loops = {
        "link": (link.Link, "_turns"),
        "delivery": (delivery.Delivery, "_run"),
        "updates": (updater.ModelUpdates, "_turns"),
        "commands": (receiver.Commands, "_run"),
        "preview": (ThreadingHTTPServer, "service_actions"),
    }
    monkeypatch.setattr(*loops[part], lambda *_: sys.exit())
    monkeypatch.setattr(agent_module, "_TICK_S", 0.02)
    ReleaseSide(tmp_path / "fleet", 0)
    root = next((tmp_path / "fleet").rglob("1.root.json"))
    manager.environ = {}  # nobody reads its socket here
    preview_section = f"[preview]\nenabled = true\nport = {free_port()}\n"
    agent = agent_of(tmp_path, manager, time.monotonic, model=f"trust_root = '{root}'\n", extra=preview_section)
    thread = threading.Thread(target=agent.run)
    thread.start()
    said = {"link": "the broker's connection", "delivery": "delivers messages"}.get(part, f"the {part}")
    eventually(lambda: said in trouble(tmp_path / "state", time.time()))
    agent.stop()
    thread.join(60)
    assert not thread.is_alive()
