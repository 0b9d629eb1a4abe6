"""What stands before every page and socket of the bridge: who may ask, from which page, and how.

- Host: an address, a name without a dot, this machine's name, or one of `hosts` in the settings. Any other name may be
  one that a stranger's web site made to point here (DNS rebinding), and its scripts would then read the fleet.
- Origin: a browser names the page that asks; only the bridge's own pages may.
- HEAD is answered wherever GET is, without the body: probes of load balancers use it.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_REFUSED_HOST: Final = b"The bridge is not known under this name; list it as `hosts` in its settings.\n"
_REFUSED_ORIGIN: Final = b"A page of another origin may not ask.\n"


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        """`hosts`: names under which the bridge is known, besides what the module says."""
        self._app = app
        self._hosts = {each.lower() for each in (*hosts, socket.gethostname(), socket.getfqdn())}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 421 (host) or 403 (origin)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if not self._known(host):
            await _refuse(scope, send, 421, _REFUSED_HOST)
        elif origin and origin.partition("://")[2] != host:
            await _refuse(scope, send, 403, _REFUSED_ORIGIN)
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
        else:
            await self._app(scope, receive, send)

    def _known(self, host: str) -> bool:
        name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return bool(name) and "." not in name
        return True


async def _refuse(scope: Message, send: Send, status: int, body: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the server answers 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _without_body(send: Send) -> Send:
    async def bare(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare
