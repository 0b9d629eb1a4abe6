"""The webhook's door: what MLflow itself signs is taken, and whatever else comes wakes nobody."""

import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities.webhook import Webhook as MlflowWebhook
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.webhooks.delivery import test_webhook as deliver_as_mlflow

from edge_contract.errors import EdgewiseError, UsageError
from edge_fleet.listener import RefusedError
from edge_fleet.registry.webhook import (
    BODY_BYTES,
    REPLAY_S,
    Signed,
    Webhook,
    check,
    checked_secret,
    listen_address,
)

NOW = 1_800_000_000
KEY = b"a secret of the tests, long enough"
BODY = b'{"entity": "model_version_alias", "action": "created"}'


def signed(body: bytes = BODY, *, at: float = NOW, delivery: str = "d-1", key: bytes = KEY) -> Signed:
    content = f"{delivery}.{int(at)}.".encode() + body
    digest = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return Signed(delivery, str(int(at)), f"v1,{digest}")


def headers(one: Signed) -> dict[str, str]:
    return {
        "X-MLflow-Delivery-Id": one.delivery, "X-MLflow-Timestamp": one.timestamp, "X-MLflow-Signature": one.signature
    }  # fmt: skip


class Door:
    """A webhook on a port of its own, with what it did."""

    def __init__(self) -> None:
        self.woken = 0
        self.said: list[str] = []
        self.webhook = Webhook(("127.0.0.1", 0), KEY, self.wake, self.said.append)

    def wake(self) -> None:
        self.woken += 1

    def post(self, one: Signed, body: bytes = BODY) -> int:
        return httpx.post(self.webhook.url, content=body, headers=headers(one), timeout=10).status_code


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    with door.webhook:
        yield door


def test_what_mlflow_delivers_wakes(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    event = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    for secret, status in ((KEY.decode(), 204), ("another one, as long as that", 401)):
        there = MlflowWebhook("1", "champion", door.webhook.url, [event], 0, 0, secret=secret)
        assert deliver_as_mlflow(there).response_status == status
    assert door.woken == 1
    assert door.said == [
        "A webhook was refused: its signature is not made with this secret. The registry is looked at every 30 s all "
        "the same."
    ]


@given(st.data())
@settings(max_examples=40)
def test_whatever_is_changed_breaks_the_signature(data: st.DataObject) -> None:
    check(signed(), BODY, KEY, NOW)
    one, body = signed(), BODY
    text = st.text(max_size=8)
    match data.draw(st.sampled_from(("delivery", "timestamp", "signature", "body", "key"))):
        case "body":
            body = data.draw(st.binary(max_size=100).filter(lambda other: other != BODY))
        case "key":
            one = signed(key=data.draw(st.binary(max_size=64).filter(lambda other: other.rstrip(b"\0") != KEY)))
        case field:
            changed = data.draw(text.filter(lambda other: other != getattr(signed(), field)))
            one = one._replace(**{field: changed})
    with pytest.raises(RefusedError):
        check(one, body, KEY, NOW)


@pytest.mark.parametrize(("away", "taken"), [(0, True), (REPLAY_S, True), (REPLAY_S + 1, False), (86400, False)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_delivery_is_taken_within_its_window(away: float, taken: bool, sign: int) -> None:
    if taken:
        check(signed(at=NOW + sign * away), BODY, KEY, NOW)
    else:
        with pytest.raises(RefusedError, match="too long ago"):
            check(signed(at=NOW + sign * away), BODY, KEY, NOW)


def test_absent_headers_are_refused() -> None:
    with pytest.raises(RefusedError) as error:
        check(Signed.of(Message()), BODY, KEY, NOW)
    assert error.value.status is HTTPStatus.UNAUTHORIZED


def test_a_delivery_that_comes_twice_is_acknowledged_and_wakes_once(door: Door) -> None:
    one = signed(at=time.time())
    assert [door.post(one), door.post(one)] == [204, 204]
    assert door.woken == 1
    assert door.post(signed(at=time.time(), delivery="d-2")) == 204
    assert door.woken == 2


def test_a_refusal_is_said_once_until_one_is_right(door: Door) -> None:
    for delivery in ("a", "b", "c"):
        assert door.post(signed(at=time.time(), delivery=delivery, key=b"wrong")) == 401
    assert len(door.said) == 1
    assert door.post(signed(at=time.time())) == 204
    assert door.post(signed(at=time.time(), delivery="d", key=b"wrong")) == 401
    assert len(door.said) == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + str(BODY_BYTES + 1).encode() + b"\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"401"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nX-MLflow-Timestamp: \xff\xd9\xa3\r\n\r\n{}", b"401"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
    ],
)
def test_requests_that_are_no_delivery_are_refused_and_the_next_is_taken(
    door: Door, request_: bytes, status: bytes
) -> None:
    host, port = door.webhook.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request_)
        answer = connection.makefile("rb").read()
    assert status in answer.partition(b"\r\n")[0] + answer  # what is no HTTP is answered without a status line
    assert b"Python" not in answer
    assert door.woken == 0
    assert door.post(signed(at=time.time())) == 204


def test_connections_that_say_nothing_do_not_pile_up(door: Door) -> None:
    host, port = door.webhook.url.removeprefix("http://").rstrip("/").split(":")
    silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(20)]
    try:
        assert silent[-1].recv(1) == b""  # there was no room for it
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize(
    ("text", "exposed", "address"),
    [
        ("9109", False, ("127.0.0.1", 9109)),
        ("127.0.0.1:9109", False, ("127.0.0.1", 9109)),
        ("[::1]:9109", False, ("::1", 9109)),
        ("localhost:1", False, ("localhost", 1)),
        ("0.0.0.0:9109", True, ("0.0.0.0", 9109)),  # noqa: S104
    ],
)
def test_where_a_webhook_may_listen(text: str, exposed: bool, address: tuple[str, int]) -> None:
    assert listen_address(text, exposed=exposed) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0.0.0:9109", "can be reached from other machines; listen on 127.0.0.1 behind a proxy"),
        ("192.0.2.1:9109", "--webhook-exposed"),
        ("mlflow.example:9109", "--webhook-exposed"),
        ("127.0.0.1", "is no address; give HOST:PORT"),
        ("127.0.0.1:", "is no address"),
        (":9109", "is no address"),
        ("127.0.0.1:70000", "is no address"),
        ("127.0.0.1:٣", "is no address"),
        ("", "is no address"),
    ],
)
def test_an_address_that_is_none_or_open_to_others_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        listen_address(text)


def test_a_secret_that_is_missing_or_short_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="set \\$EDGEWISE_WEBHOOK_SECRET"):
        checked_secret(None)
    with pytest.raises(UsageError, match="fewer than 16") as error:
        checked_secret("hunter2")
    assert "hunter2" not in str(error.value)


def test_an_address_in_use_is_a_sentence(door: Door) -> None:
    port = int(door.webhook.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(EdgewiseError, match=r"cannot listen on 127\.0\.0\.1:.*give another address with --webhook"):
        Webhook(("127.0.0.1", port), KEY, door.wake, door.said.append)
