"""What is answered to whom: a decision over paths, pure.

`/metrics` has a rule of its own, as Prometheus has no browser: a token, or open by the settings. The two probes say yes
or no and nothing of the fleet, so that a load balancer needs neither.
"""

import enum
import hmac
from typing import Final
from urllib.parse import quote

from edge_bridge.web.settings import WebSettings

LOGIN: Final = "/login"
METRICS: Final = "/metrics"
_OPEN: Final = frozenset({LOGIN, "/-/healthy", "/-/ready", "/favicon.ico"})


class Answer(enum.Enum):
    """What becomes of a request."""

    GRANTED = enum.auto()
    LOGIN = enum.auto()
    """The password first."""
    TOKEN = enum.auto()
    """The token of `/metrics` first."""
    PROXY = enum.auto()
    """Only by way of the proxy that knows its users."""


def decide(settings: WebSettings, path: str, *, known: bool, authorization: str) -> Answer:
    """`known`: whether the browser gave the password or a proxy let its user in."""
    if not settings.guarded or known or path in _OPEN:
        return Answer.GRANTED
    if path == METRICS:
        return Answer.GRANTED if settings.metrics_open or _token(settings, authorization) else Answer.TOKEN
    return Answer.LOGIN if settings.password_hash is not None else Answer.PROXY


def local(target: str) -> str:
    """A path of the bridge to go on to after the login; `/` for an address of elsewhere."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and len(target) <= 2048 and "\\" not in target else "/"


def login_address(prefix: str, path: str, query: str) -> str:
    """Where a browser gives the password and then goes on to what it asked for."""
    target = path + (f"?{query}" if query else "")
    return f"{prefix}{LOGIN}" + (f"?next={quote(target, safe='')}" if target != "/" else "")


def _token(settings: WebSettings, authorization: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    wanted = settings.metrics_token
    same = wanted is not None and hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted.encode())
    return same and scheme.lower() == "bearer"
