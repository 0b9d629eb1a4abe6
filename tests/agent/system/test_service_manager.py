"""What the service manager is sent, by a real datagram socket that is read, full, or gone."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.system.systemd import ServiceManager


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def _received(receiver: socket.socket) -> list[str]:
    words = []
    while True:
        try:
            words.append(receiver.recv(1000).decode())
        except BlockingIOError:
            return words


def _manager(receiver: socket.socket) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": receiver.getsockname(), "WATCHDOG_USEC": "1000000"})


def test_a_manager_that_does_not_read_holds_nobody_and_hears_the_rest_later(
    receiver: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    manager = _manager(receiver)
    while not manager.missed:
        manager.alive()
    manager.ready("looking")
    for _ in range(1000):
        manager.alive()
    assert manager.missed == 1002
    assert len(caplog.records) == 1
    assert set(_received(receiver)) == {"WATCHDOG=1"}
    manager.alive()
    manager.alive()
    assert _received(receiver) == ["READY=1\nSTATUS=looking\nWATCHDOG=1", "WATCHDOG=1"]


def test_a_manager_that_is_gone_ends_nothing(receiver: socket.socket) -> None:
    manager = _manager(receiver)
    Path(receiver.getsockname()).unlink()
    manager.ready("looking")
    manager.alive()
    assert manager.missed == 2


def test_without_a_manager_nothing_is_sent_or_missed() -> None:
    manager = ServiceManager({})
    manager.ready("looking")
    assert (manager.present, manager.watchdog_s, manager.missed) == (False, None, 0)
