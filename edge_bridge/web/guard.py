"""What stands before every page and socket of the bridge: who may ask, from which page, and how.

- Host: an address, a name without a dot, this machine's name, or one of `hosts` in the settings. Any other name may be
  one that a stranger's web site made to point here (DNS rebinding), and its scripts would then read the fleet.
- Origin: a browser names the page that asks; only the bridge's own pages may. So for the dashboard's WebSocket.
- Who: by `access.rules`, where the settings want a password or a proxy's user.
- HEAD is answered wherever GET is, without the body: probes of load balancers use it.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from edge_bridge.web.access import rules
from edge_bridge.web.access.proxy import Proxies, Request, without_port
from edge_bridge.web.access.rules import Answer
from edge_bridge.web.access.sessions import COOKIE, Sessions
from edge_bridge.web.headers import with_security_headers
from edge_bridge.web.settings import WebSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

ASKED: Final = "edgewise.request"
"""The key in a scope under which pages find the `Request`."""

_REFUSED_HOST: Final = "The bridge is not known under this name; list it as `hosts` in its settings.\n"
_REFUSED_ORIGIN: Final = "A page of another origin may not ask.\n"
_REFUSED_METRICS: Final = (
    "Metrics want a bearer token here: start the bridge with $EDGEWISE_METRICS_TOKEN and give Prometheus the same as "
    "authorization.credentials_file, or set web.metrics_open.\n"
)
_REFUSED_PROXY: Final = "The dashboard is open to users of its proxy alone: come by its address.\n"
_REFUSED_PASSWORD: Final = "Log in at /login first.\n"  # noqa: S105  # a sentence


class Guard:
    """An ASGI application around another."""

    def __init__(
        self, app: App, hosts: Iterable[str], web: WebSettings | None = None, sessions: Sessions | None = None
    ) -> None:
        """`hosts`: names under which the bridge is known, besides what the module says.

        `sessions`: of browsers that gave the password; none where none is wanted.
        """
        self._app = app
        self._hosts = {each.lower() for each in (*hosts, socket.gethostname(), socket.getfqdn())}
        self._web = web or WebSettings()
        self._proxies = Proxies(self._web)
        self._sessions = sessions

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 421 (host), 403 (origin, proxy), 401 (token, password) or by way of the login."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = self._proxies.read(scope)
        inner = request.scope
        inner[ASKED] = request
        send = with_security_headers(send)
        headers = dict(inner["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if not self._known(request.host):
            await _refuse(inner, send, 421, _REFUSED_HOST)
        elif origin and without_port(origin.partition("://")[2]) != request.host:
            await _refuse(inner, send, 403, _REFUSED_ORIGIN)
        elif (answer := self._answer(request, headers)) is not Answer.GRANTED:
            await _turn_away(request, answer, send, page=b"text/html" in headers.get(b"accept", b""))
        elif inner["type"] == "http" and inner["method"] == "HEAD":
            await self._app({**inner, "method": "GET"}, receive, _without_body(send))
        else:
            await self._app(inner, receive, send)

    def _answer(self, request: Request, headers: dict[bytes, bytes]) -> Answer:
        known = bool(request.user)
        if not known and self._sessions is not None:
            known = self._sessions.holds(_cookie(headers.get(b"cookie", b"")))
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        return rules.decide(self._web, request.scope["path"], known=known, authorization=authorization)

    def _known(self, host: str) -> bool:
        name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return bool(name) and "." not in name
        return True


def _cookie(header: bytes) -> str:
    try:
        found = SimpleCookie(header.decode("latin-1")[:8192]).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


async def _turn_away(request: Request, answer: Answer, send: Send, *, page: bool) -> None:
    """A browser that asks for a page is led to the login; what else asks is told what is missing."""
    scope = request.scope
    if answer is Answer.TOKEN:
        await _refuse(scope, send, 401, _REFUSED_METRICS, [(b"www-authenticate", b'Bearer realm="edgewise"')])
    elif answer is Answer.PROXY:
        await _refuse(scope, send, 403, _REFUSED_PROXY)
    elif page and scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}:
        query = scope.get("query_string", b"").decode("latin-1")
        target = rules.login_address(request.prefix, scope["path"], query)
        await _refuse(scope, send, 303, "", [(b"location", target.encode("ascii", "ignore"))])
    else:
        await _refuse(scope, send, 401, _REFUSED_PASSWORD)


async def _refuse(scope: Message, send: Send, status: int, text: str, more: Headers | None = None) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        return
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *(more or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _without_body(send: Send) -> Send:
    async def bare(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare
