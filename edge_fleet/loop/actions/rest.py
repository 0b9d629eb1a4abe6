"""Requests to a service's REST interface: bounded in size and time, to the address of the settings and no other.

A redirection is an answer here and not followed: a token is shown to nobody who was not named. A token stands in no
text that is shown.
"""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from edge_contract.errors import EdgewiseError
from edge_contract.visible import visible

ANSWER_BYTES: Final = 8 * 1024 * 1024
TIMEOUT_S: Final = 20.0
"""Until the next part of an answer comes."""
WHOLE_S: Final = 300.0
_PART: Final = 1 << 16


class Answer(NamedTuple):
    """What came."""

    status: int
    location: str
    """Where it redirects to, or what was made; empty for nothing."""
    body: bytes

    def document(self) -> Any:
        """Its JSON.

        Raises:
            EdgewiseError: it is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise EdgewiseError("the service answers with what is no JSON", remedy="check its address") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Refuse: the answer itself is what is asked for."""


class Service:
    """One service, under one address."""

    def __init__(self, address: str, headers: Mapping[str, str], name: str) -> None:
        """`name` stands in errors, such as "GitHub"."""
        self.address, self._headers, self._name = address.rstrip("/"), dict(headers), name
        self._opener = urllib.request.build_opener(_NoRedirect(), urllib.request.ProxyHandler())

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        at_most: int = ANSWER_BYTES,
        missing: bool = False,
    ) -> Answer:
        """One request under the service's address. `missing`: that nothing is there is an answer too.

        Raises:
            EdgewiseError: it cannot be reached, refuses, or says too much.
        """
        return self._ask(self.address + path, {**self._headers, **(headers or {})}, method, body, at_most, missing)

    def fetch(self, address: str, at_most: int) -> bytes:
        """What lies at an address that the service gave, without its token.

        Raises:
            EdgewiseError: as `ask`; or it is no address of the same scheme.
        """
        if urllib.parse.urlsplit(address).scheme != urllib.parse.urlsplit(self.address).scheme:
            raise EdgewiseError(
                f"{self._name} gives an address of another kind than its own", remedy="check its address"
            )
        return self._ask(address, {}, "GET", None, at_most, missing=False).body

    def _ask(
        self, address: str, headers: Mapping[str, str], method: str, body: bytes | None, at_most: int, missing: bool
    ) -> Answer:
        request = urllib.request.Request(address, body, dict(headers), method=method)  # noqa: S310  # http and https alone
        try:
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    return Answer(answer.status, answer.headers.get("Location", ""), self._read(answer, at_most))
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in {301, 302, 303, 307, 308} or (missing and error.code == 404):
                        return Answer(error.code, error.headers.get("Location", ""), b"")
                    raise self._refusal(error.code, error.read(500)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EdgewiseError(
                f"{self._name} cannot be reached ({visible(str(error))})", remedy="check its address, or wait for it"
            ) from error

    def _read(self, answer: Any, at_most: int) -> bytes:
        parts, left, until = list[bytes](), at_most + 1, time.monotonic() + WHOLE_S
        while left > 0 and (part := answer.read(min(_PART, left))):
            parts.append(part)
            left -= len(part)
            if time.monotonic() > until:
                raise EdgewiseError(f"{self._name} takes too long to answer", remedy="look how it is")
        if left <= 0:
            raise EdgewiseError(
                f"{self._name} answers with more than {at_most:,} bytes", remedy="look at what is there"
            )
        return b"".join(parts)

    def _refusal(self, status: int, body: bytes) -> EdgewiseError:
        said = visible(body.decode("utf-8", "replace"))[:200]
        remedy = {401: "check the token", 403: "check what the token may do", 404: "check the names in the settings"}
        return EdgewiseError(
            f"{self._name} refuses with {status} ({said})", remedy=remedy.get(status, "look how it is")
        )
