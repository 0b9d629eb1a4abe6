"""What a process that runs an unknown model is given of its parent's environment."""

import pytest

from edge_vision import process_limits


def test_it_gets_the_emulated_processor_and_one_thread_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU_CPU", "cortex-a72")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = process_limits.environment()
    assert (given["QEMU_CPU"], given["OMP_NUM_THREADS"]) == ("cortex-a72", "1")
    assert "secret" not in given.values()
