"""The dashboard: who may open it, and where it finds what it links to."""

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.settings_file import Secret

METRICS_TOKEN: Final = Secret("EDGEWISE_METRICS_TOKEN", "metrics-token")
"""What Prometheus shows to read `/metrics` where the dashboard wants a password."""
_HEADER: Final = r"^[A-Za-z][A-Za-z0-9-]{0,63}\Z"
_PREFIX: Final = r"^(/[A-Za-z0-9._~-]{1,64}){0,8}\Z"
_SCRYPT: Final = r"^scrypt:(1[4-7]):8:[1-4]:[A-Za-z0-9_-]{22}:[A-Za-z0-9_-]{43}\Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """`[web]`: who may open the dashboard, and where it finds what it links to."""

    password_hash: (
        Annotated[str, Meta(pattern=_SCRYPT, description="what `edgewise-bridge password` prints")] | None
    ) = None
    """With it, every page asks for the password that it is the hash of."""
    session_hours: Annotated[float, Meta(ge=0.1, le=8760)] = 168.0
    """For how long a browser stays logged in."""
    proxy_user_header: (
        Annotated[str, Meta(pattern=_HEADER, description="the name of a header, such as X-Forwarded-User")] | None
    ) = None
    """The header in which a reverse proxy names the user that it let in; taken from `trusted_proxies` alone."""
    trusted_proxies: tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...] = ()
    """Addresses or networks, such as 127.0.0.1 or 10.0.0.0/8, whose X-Forwarded headers count."""
    prefix: Annotated[
        str, Meta(pattern=_PREFIX, description="a path such as /edgewise, without a slash at its end, or empty")
    ] = ""
    """Under which path a reverse proxy shows the bridge; it may pass the path whole or without the prefix."""
    metrics_open: bool = False
    """Whether `/metrics` is answered without the password that the pages want."""
    metrics_token: Annotated[str, Meta(min_length=16, max_length=1024)] | None = None
    """From the environment or a credential: who shows it as a bearer token may read `/metrics`."""
    slow_ms: Annotated[float, Meta(ge=1, le=60_000)] = 250.0
    """A device that takes longer from frame to answer, at the 95th percentile of a window, is named as slow."""
    alertmanager: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/?#@\x00-\x1f\x7f]{1,253}(/[^\s?#\x00-\x1f\x7f]{0,200})?)?\Z",
            description="an address such as http://127.0.0.1:9093, without a password, or empty",
        ),
    ] = ""
    """Of the Alertmanager whose alerts are shown; empty for none."""
    alertmanager_public: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s?#@\x00-\x1f\x7f]{1,253})?\Z",
            description="an address such as https://alerts.example.org, or empty",
        ),
    ] = ""
    """Where browsers reach it, for the links that silence an alert; empty for the same address."""

    def __post_init__(self) -> None:
        """Hold the rules that a type cannot say.

        Raises:
            UsageError: a proxy is no address, or a header is named that no proxy is trusted to send.
        """
        for each in self.trusted_proxies:
            try:
                ipaddress.ip_network(each)
            except ValueError as error:
                raise UsageError(
                    f"web.trusted_proxies has {each[:64]!r}, which is no address and no network",
                    remedy="give one such as 127.0.0.1 or 10.0.0.0/8",
                ) from error
        if self.proxy_user_header is not None and not self.trusted_proxies:
            raise UsageError(
                "web.proxy_user_header names a header that no proxy is trusted to send",
                remedy="name the proxy's address in web.trusted_proxies",
            )

    @property
    def guarded(self) -> bool:
        """Whether a page is shown only to who was let in."""
        return self.password_hash is not None or self.proxy_user_header is not None
