"""The bridge's link against real brokers: what is refused is said, and two bridges of one id do not fight for ever."""

import contextlib
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_bridge import link as link_module
from edge_bridge.link import Link
from edge_bridge.settings import BrokerSettings
from edge_simulator.broker import Broker
from tests.eventually import eventually


@contextlib.contextmanager
def started(settings: BrokerSettings) -> Iterator[Link]:
    link = Link(settings, ["t/+"], lambda _: None)
    link.start()
    try:
        yield link
    finally:
        link.stop()


def test_a_wrong_password_is_said_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "b", "right"], check=True, capture_output=True)
    with Broker(tmp_path / "broker", extra=f"password_file {passwords}") as broker:
        with started(BrokerSettings(port=broker.port, username="b", password="hush")) as link:  # noqa: S106
            eventually(lambda: "check user, password and certificate" in caplog.text)
            assert not link.connected
            assert "check user, password and certificate" in link.complaint
        assert "user 'b'" in caplog.text
        assert "hush" not in caplog.text
        with started(BrokerSettings(port=broker.port, username="b", password="right")) as link:  # noqa: S106
            eventually(lambda: link.connected)
            assert link.complaint == ""


def test_two_bridges_of_one_id_say_so_and_one_of_them_works(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(link_module, "RECONNECT_FIRST_S", 0.05)
    settings = BrokerSettings(port=broker.port)
    with started(settings) as first, started(settings) as second:
        eventually(lambda: "most likely another client came with the same id" in caplog.text)
        assert "client_id of a bridge" in caplog.text
        eventually(lambda: first.connected != second.connected)
