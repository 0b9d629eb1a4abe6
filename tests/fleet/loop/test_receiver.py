"""The webhook: who has the token is taken in, before an answer; a storm is rows and begins nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge_contract.errors import UsageError
from edge_fleet.loop import alerts
from edge_fleet.loop.receiver import Receiver
from edge_fleet.loop.store import LoopStore
from tests.fleet.loop.test_alerts import body, one

TOKEN = "a token of the tests, long enough"  # noqa: S105


class Door:
    """A receiver on a port of its own, with what it said."""

    def __init__(self, folder: Path) -> None:
        self.store = LoopStore(folder)
        self.said: list[str] = []
        self.receiver = Receiver(("127.0.0.1", 0), TOKEN, "emotion", self.store, self.said.append)

    def post(self, data: bytes, token: str | None = TOKEN) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.post(self.receiver.url, content=data, headers=headers, timeout=10).status_code

    def devices(self) -> set[str]:
        return {each.alert.device for each in self.store.firing("emotion", time.time())}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    with door.receiver, door.store:
        yield door


def test_what_comes_with_the_token_is_kept_before_it_is_answered(door: Door, tmp_path: Path) -> None:
    assert door.post(body(one(), one(fingerprint="ab" * 8, device="cam-2"))) == 204
    with LoopStore(tmp_path) as other:  # as after a kill
        assert len(other.firing("emotion", time.time())) == 2
    assert door.post(body(one("resolved"))) == 204
    assert (door.devices(), door.said) == ({"cam-2"}, [])


@pytest.mark.parametrize("token", [None, "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xe9"])
def test_another_token_is_refused_and_said_once(door: Door, token: str | None) -> None:
    for _ in range(3):
        data = body(one())
        headers = {} if token is None else {"Authorization": f"Bearer {token}".encode("latin-1")}
        assert httpx.post(door.receiver.url, content=data, headers=headers, timeout=10).status_code == 401
    assert (door.devices(), door.said) == (set(), ["A webhook was refused: its token is not the loop's."])
    assert door.post(body(one())) == 204
    assert door.post(body(one()), "wrong") == 401
    assert len(door.said) == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"{}", 400), (body(*[one()] * (alerts.ALERTS + 1)), 400), (b" " * (alerts.BODY_BYTES + 1), 413)],
)
def test_what_is_no_notification_is_refused_and_the_next_is_taken(door: Door, data: bytes, status: int) -> None:
    try:
        assert door.post(data) == status
    except httpx.WriteError:  # it was answered and closed while the rest was on its way
        assert status == 413
    assert door.post(body(one())) == 204
    assert door.devices() == {"cam-1"}


def test_a_disk_that_refuses_is_told_so_that_it_comes_again(door: Door) -> None:
    door.store.close()
    assert door.post(body(one())) == 503
    assert "cannot be kept" in door.said[0]


def test_without_a_token_nothing_listens(tmp_path: Path) -> None:
    with LoopStore(tmp_path) as store, pytest.raises(UsageError, match="needs a token"):
        Receiver(("127.0.0.1", 0), None, "emotion", store, lambda _: None)
