"""One client cannot hold up or bring down the others: slow, huge, half and wrong requests each have their status."""

import socket
import struct
import threading
import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.serve.process import ServeProcess

PATIENCE_S = 60.0


def said(server: ServeProcess, *parts: bytes, finish: bool = False) -> bytes:
    """All that the server says on one connection until it closes it."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        for part in parts:
            client.sendall(part)
        if finish:
            client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(65536):
            found += part
        return found


def status(found: bytes) -> int:
    return int(found.split(b" ", 2)[1])


def answers(server: ServeProcess) -> bool:
    return server.ask("GET", "/v2/health/ready").status == 200


@pytest.mark.parametrize(
    "part",
    [b"POST /invocations HT", b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
     b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234"],
)  # fmt: skip
def test_a_request_that_does_not_come_whole_is_answered_408(server: ServeProcess, part: bytes) -> None:
    found = said(server, part)
    assert status(found) == 408
    assert b"did not come whole within 3 s" in found
    assert answers(server)


def test_many_slow_clients_do_not_hold_up_a_quick_one(server: ServeProcess) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    try:
        for each in slow:
            each.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert answers(server)
    finally:
        for each in slow:
            each.close()


def test_a_body_of_64_megabytes_is_refused_before_and_while_it_comes(server: ServeProcess) -> None:
    size = 64 * 1024 * 1024
    announced = said(server, b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size, finish=True)
    assert (status(announced), b"larger than 16,777,216 bytes" in announced) == (413, True)
    whole = server.ask("POST", "/score", bytes(size), content_type="application/json")
    assert whole.status == 413
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    unannounced = said(
        server, b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunk] * 20, b"0\r\n\r\n",
        finish=True,
    )  # fmt: skip
    assert status(unannounced) == 413
    assert answers(server)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30_000, 431),
        (b"GET /" + b"a" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 30_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n", 200),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"DELETE /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
    ],
)  # fmt: skip
def test_what_is_no_request_has_its_status(server: ServeProcess, sent: bytes, expected: int) -> None:
    assert status(said(server, sent, finish=True)) == expected
    assert answers(server)


def test_requests_sent_ahead_are_answered_in_their_order_whatever_they_take(server: ServeProcess) -> None:
    photograph = b"POST /v1/photographs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    found = said(server, photograph + ping + last)
    assert [int(part.split(b" ", 1)[0]) for part in found.split(b"HTTP/1.1 ")[1:]] == [415, 200, 200]
    assert found.endswith(b'{"live":true}')


@pytest.fixture
def working(portrait: NDArray[np.uint8]) -> bytes:
    """A request that a thread works on for a tenth of a second."""
    body = cv2.imencode(".png", np.tile(portrait, (3, 3)))[1].tobytes()
    return b"POST /v1/photographs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def talk(server: ServeProcess, *parts: bytes, finish: bool = False) -> list[int]:
    """The status of each answer on one connection, to parts that are sent apart, until the server closes it."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
            time.sleep(0.02)
        if finish:
            client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(65536):
            found += part
    return [int(each.split(b" ", 1)[0]) for each in found.split(b"HTTP/1.1 ")[1:]]


PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_what_is_sent_while_a_request_is_worked_on_is_answered_behind_it(server: ServeProcess, working: bytes) -> None:
    assert talk(server, working, PING, LAST[:9], LAST[9:]) == [200, 200, 200]
    assert talk(server, working, PING + working + PING, LAST) == [200, 200, 200, 200, 200]
    assert talk(server, working, b"hello\r\n\r\n", PING) == [200, 400]
    assert talk(server, working + PING + b"hello\r\n\r\n") == [200, 200, 400]
    assert talk(server, working, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30_000, finish=True) == [200, 431]


def test_a_client_that_closes_its_half_gets_its_answer_and_the_connection_ends(
    server: ServeProcess, working: bytes
) -> None:
    began = time.monotonic()
    assert talk(server, working, finish=True) == [200]
    assert talk(server, working, PING, finish=True) == [200, 200]
    assert talk(server, working + PING[:9], finish=True) == [200]
    assert time.monotonic() - began < PATIENCE_S / 2  # and not when it has been idle for long


def test_a_request_that_begins_while_another_is_worked_on_has_its_time_to_come(
    server: ServeProcess, working: bytes
) -> None:
    assert talk(server, working, PING[:9]) == [200, 408]
    assert talk(server, working + PING[:9]) == [200, 408]


def test_the_head_of_a_request_is_not_measured_by_the_body_before_it(server: ServeProcess, working: bytes) -> None:
    body = b" " * 300_000
    first = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert talk(server, first + LAST[:9], LAST[9:]) == [400, 200]
    assert talk(server, first + b"GET / HTTP/1.1\r\nA: ", b"a" * 70_000, finish=True) == [400, 431]


def test_a_client_that_goes_away_while_its_request_is_worked_on_harms_nobody(
    server: ServeProcess, working: bytes
) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(working + PING)
            time.sleep(0.01)
    assert answers(server)


def test_an_offer_to_speak_http_2_is_passed_over_and_the_connection_goes_on(server: ServeProcess) -> None:
    offer = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    first = b"POST /score HTTP/1.1\r\n" + offer + b"Content-Length: 2\r\n\r\n{}"
    last = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    found = said(server, first + last)
    assert [int(part.split(b" ", 1)[0]) for part in found.split(b"HTTP/1.1 ")[1:]] == [400, 200]


def test_a_client_that_waits_to_be_told_to_send_its_body_is_told(server: ServeProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert status(client.recv(1000)) == 400


def test_eight_clients_at_once_get_their_own_answers(server: ServeProcess) -> None:
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(20):
            found = server.ask("POST", f"/v2/models/m{number}/infer", b"{}")
            if found.status != 404 or f"m{number} " not in found.json()["error"]:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
