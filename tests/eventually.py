"""How every test waits for what another thread or process does."""

import time
from collections.abc import Callable

import pytest

PATIENCE_S = 90.0


def eventually(condition: Callable[[], object], what: str | Callable[[], str] = "it never became true") -> None:
    """Wait until the condition holds; fail after a long while, for no test asserts how long it took.

    `what`: what did not happen, for the failure; a function is asked then.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
