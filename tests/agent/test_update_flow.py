"""From `release` to a running model over a real mosquitto, and every way in which it must be refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.broker import Broker
from tests.agent.update_bench import GROUP, Device, ReleaseSide, eventually, quick_waits, tiny


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port)


@pytest.fixture
def device(tmp_path: Path, broker: Broker, side: ReleaseSide, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    quick_waits(monkeypatch)
    with Device(tmp_path / "device", broker.port, side.repository.first_root()) as running:
        yield running


def test_a_pushed_release_runs_and_is_committed(side: ReleaseSide, device: Device) -> None:
    ref = side.push(tiny(1))
    reported = device.until("committed")
    assert device.running == ref.digest
    assert reported.active == reported.target == ref
    assert [report.state for report in device.reports if report.state != "idle"] == [
        "offered", "downloading", "verifying", "staged", "selftest", "activating", "probation", "committed"
    ]  # fmt: skip
