"""What a reverse proxy says of a request, taken from proxies that the settings trust and from no one else.

It may name the browser's address, scheme and host, its user, and the path under which it shows the bridge. Of any other
peer these headers are removed, so that nothing behind this module can be told otherwise by a browser.
"""

import ipaddress
import re
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, NamedTuple

from edge_bridge.web.settings import WebSettings

Scope = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]{1,64}){1,8}\Z")
_FORWARDED: Final = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded"}
)
_SECURE: Final = frozenset({"https", "wss"})
_DEFAULT_PORTS: Final = (":443", ":80")
_USER_LENGTH: Final = 128


class Request(NamedTuple):
    """Who asks, and for what."""

    scope: Scope
    """Without the prefix in its path, and with no header left that a stranger wrote for a proxy."""
    address: str
    """Of the browser, as far as trusted proxies can tell."""
    host: str
    """By which the browser knows the bridge; small letters, without the scheme's own port."""
    secure: bool
    prefix: str
    """Empty or such as "/edgewise"."""
    user: str
    """Whom a proxy let in; empty for no one."""


class Proxies:
    """Reads requests by the settings."""

    def __init__(self, settings: WebSettings) -> None:
        self._trusted = [ipaddress.ip_network(each) for each in settings.trusted_proxies]
        self._prefix = settings.prefix
        self._user_header = (settings.proxy_user_header or "").lower().encode()

    def read(self, scope: Scope) -> Request:
        """The request as it is to be answered."""
        peer = scope["client"][0] if scope.get("client") else ""
        foreign = _FORWARDED | ({self._user_header} if self._user_header else set())
        said = {name: value.decode("latin-1").strip() for name, value in scope["headers"] if name in foreign}
        headers: Headers = [(name, value) for name, value in scope["headers"] if name not in foreign]
        host = dict(headers).get(b"host", b"").decode("latin-1")
        secure, prefix, user = scope.get("scheme") in _SECURE, self._prefix, ""
        if self._trusts(peer):
            peer = self._browser(said.get(b"x-forwarded-for", ""), peer)
            secure = secure or said.get(b"x-forwarded-proto") in _SECURE
            host = said.get(b"x-forwarded-host") or host
            shown = said.get(b"x-forwarded-prefix", "")
            prefix = prefix or (shown if _PREFIX.fullmatch(shown) else "")
            user = said.get(self._user_header, "")[:_USER_LENGTH] if self._user_header else ""
        if prefix:
            headers.append((b"x-forwarded-prefix", prefix.encode()))  # NiceGUI makes every address with it
        path = _without(scope["path"], prefix)
        inner = {**scope, "headers": headers, "path": path, "raw_path": path.encode("utf-8", "replace")}
        return Request(inner, peer, without_port(host.lower()), secure, prefix, user)

    def _trusts(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in each for each in self._trusted)

    def _browser(self, said: str, peer: str) -> str:
        """The last address that no trusted proxy is: who came before it may have written anything."""
        hops: Iterable[str] = (each.strip() for each in reversed(said.split(",")))
        for hop in hops:
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                return peer
            peer = hop
            if not self._trusts(hop):
                break
        return peer


def without_port(host: str) -> str:
    """A host without the port that its scheme implies."""
    for port in _DEFAULT_PORTS:
        host = host.removesuffix(port)
    return host


def _without(path: str, prefix: str) -> str:
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :] or "/"
    return path
