"""`make bench-push` at the size of a test: all of it runs, and what it counts is there."""

import os
from pathlib import Path

import pytest

from benchmarks import push
from edge_contract import package

DEVICES = 6


def test_the_devices_of_a_fleet_are_shared_out_whole() -> None:
    assert push.shares(1000, 3) == [(0, 333), (333, 333), (666, 334)]


def test_processor_time_is_that_of_all_threads_and_only_grows() -> None:
    before = push.processor_seconds([os.getpid()])
    assert sum(range(2_000_000)) > 0
    after = push.processor_seconds([os.getpid()])
    assert after[0] > before[0]
    assert after[1] >= before[1] >= 0


@pytest.mark.slow
def test_a_push_reaches_all_with_little_more_than_the_bytes_of_the_model(tmp_path: Path) -> None:
    pushed = push.ours(tmp_path, DEVICES, 2)
    assert pushed.converged == DEVICES
    assert 1.0 < pushed.bytes / len(package.read_file(push.MODEL).model) < 1.5
    assert pushed.broker_mb > 1
    assert pushed.cpu_s > 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stop", "whole"])
def test_a_peer_brings_the_model_to_all(tmp_path: Path, way: str) -> None:
    model = package.read_file(push.MODEL).model
    seconds, megabytes = push.peer(tmp_path, way, DEVICES, 2, model)
    assert seconds > 0 < megabytes
    assert [path.read_bytes() == model for path in (tmp_path / way).iterdir()] == [True] * DEVICES
