"""A request that was received whole, the answer to it, and the refusal of one: plain data.

Not here: how they travel (`connection`), and what is asked (`edge_serve.protocols`).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from edge_contract.errors import EdgewiseError
from edge_contract.visible import visible

JSON: Final = b"application/json"
RETRY_AFTER_S: Final = 1
"""What a client is told to wait where this process has no room: a queue of 64 photographs is worked off in that."""
_LONGEST_NAME: Final = 200  # characters of what a client sent, repeated in an error


class Request(NamedTuple):
    """One request. Its body is within the limit, and nothing else was checked."""

    method: bytes
    path: bytes
    """As it was sent, without the query."""
    headers: Mapping[bytes, bytes]
    """By their names in lower case."""
    body: bytes

    def kind(self) -> bytes:
        """The media type of the body, in lower case and without parameters; empty where none was named."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Beside the content's type and length."""


class RefusedError(EdgewiseError):
    """A request that is not answered as it was meant: the status says why to a program, the text to a person."""

    def __init__(
        self, status: HTTPStatus, problem: str, *, remedy: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        """`problem` and `remedy` as of every `EdgewiseError`."""
        super().__init__(problem, remedy=remedy)
        self.status, self.headers = status, headers


def answer(document: Any, status: int = HTTPStatus.OK) -> Response:
    """A document as JSON."""
    return Response(status, msgspec.json.encode(document))


def refusal(error: RefusedError) -> Response:
    """The error object of Open Inference Protocol V2, which every route answers with."""
    return Response(error.status, msgspec.json.encode({"error": str(error)}), JSON, error.headers)


def busy(problem: str) -> RefusedError:
    """There is no room now; the same request may be answered a moment later."""
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        problem,
        remedy="send it again after a moment",
        headers=((b"Retry-After", b"%d" % RETRY_AFTER_S),),
    )


def bad(problem: str, remedy: str = "") -> RefusedError:
    """The request is not what the route takes."""
    return RefusedError(HTTPStatus.BAD_REQUEST, problem, remedy=remedy)


def shown(given: object) -> str:
    """Something a client sent, fit for a sentence: one line, and not longer than one."""
    text = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
    return visible(text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…")
