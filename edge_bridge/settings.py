"""The bridge's settings: an optional TOML file and command-line options, read once into frozen dataclasses.

The rules for files, paths and secrets are every role's (`edge_contract.settings_file`); an option wins over the file.
The only place of the bridge that reads the environment.
"""

import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from edge_contract.errors import UsageError
from edge_contract.setting_types import Id
from edge_contract.settings_file import Secret, check, found_in, read_toml
from edge_mqtt.address import PASSWORD, BrokerAddress

DATABASE: Final = Secret("EDGEWISE_DATABASE", "database-url")
"""A database URL with a password in it; without one it may be an option or stand in the file."""


METRICS_TOKEN: Final = Secret("EDGEWISE_METRICS_TOKEN", "metrics-token")
"""What Prometheus shows to read `/metrics` where the dashboard wants a password."""

LABELS_PASSWORD: Final = Secret("EDGEWISE_LABELS_PASSWORD", "labels-password")
"""The broker's password of `labels.username`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings(BrokerAddress):
    """`[broker]`: the broker's address, which may also stand there as `url`, and the bridge's session."""

    client_id: Id = "edgewise-bridge"
    """The broker keeps what this id has not fetched yet; two bridges need two ids."""
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 2)] = 7 * 86400
    """For how long the broker keeps messages for a bridge that is away; devices keep theirs until acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: how many different label values are kept; what passes a limit is counted and not kept."""

    devices: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Messages of further devices are neither stored nor acknowledged: they wait in the devices' spools."""
    series_groups: Annotated[int, Meta(ge=1, le=100_000)] = 500
    """(site, model) pairs with histograms of their own; further ones share the pair (other, other)."""
    emotions: Annotated[int, Meta(ge=1, le=1000)] = 64
    """Labels counted per device and model; further ones are counted as `other`."""
    counters: Annotated[int, Meta(ge=1, le=1000)] = 64
    """Names of counters per device, and names of gauges beside those of the table; further ones are left out."""
    sites: Annotated[int, Meta(ge=1, le=1000)] = 8
    """Sites that one device may have been at; at further ones it is shown as `other`."""
    groups_per_device: Annotated[int, Meta(ge=1, le=100_000)] = 32
    """(site, model) pairs of which one device was the first; further ones of it share the pair (other, other)."""
    label_changes: Annotated[int, Meta(ge=1, le=3600)] = 20
    """New models and changes of the inventory per device and hour, all at once if need be; a further one waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: how long predictions are kept."""

    retention_days: Annotated[float, Meta(gt=0, le=36500)] = 30.0
    retention_rows: Annotated[int, Meta(ge=1000, le=10**12)] = 5_000_000
    """The oldest go first; about 400 bytes each on SQLite."""
    retention_mb: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Megabytes that predictions and their indexes may take, 0 for any. The database uses the room of those deleted
    again, and gives none back to the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """`[metrics]`: what `/metrics` shows besides the fleet's sums."""

    per_device: tuple[Id, ...] = ()
    """Devices whose latency histograms are shown one by one: 120 series each. `all` names every device."""
    expiring: Annotated[tuple[Path, ...], Meta(max_length=64)] = ()
    """PEM files of certificates and revocation lists on this machine, whose ends are shown by their names."""
    silent_after_s: Annotated[float, Meta(ge=10, le=86400)] = 180.0
    """An online device that has sent nothing for so long is not up."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """`[drift]`: what is an alarm, and what a device's own baseline is learned from; docs/drift.md."""

    false_alarms_per_month: Annotated[float, Meta(gt=0, le=10)] = 0.05
    """At most so many of a device that did not change, by design; fewer make an alarm come later."""
    commission_tracks: Annotated[int, Meta(ge=100, le=100_000)] = 500
    """Faces that the baseline of a device is learned from, each counted once; of fewer than 100 nothing is judged."""
    commission_hours: Annotated[float, Meta(ge=0, le=8760)] = 24.0
    """And for how long at the least, so that it knows each hour of a day."""
    every_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    """Seconds between two windows of a device that are looked at: fewer let an alarm come sooner, and cost more."""
    least_effect: Annotated[float, Meta(ge=0.02, le=0.9)] = 0.1
    """A change of a share by less than this is no alarm, however certain it is."""


_LINE: Final = r"^[^\x00-\x1f\x7f\ud800-\udfff]{1,1024}\Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """`[labels]`: crops of faces collected for people to label, off without a key; docs/labelling.md."""

    key: Path | None = None
    """The labelling key's private half, which `edgewise-bridge labels key` makes; readable by its owner alone."""
    database: Path = Path("labels.db")
    """A SQLite file of its own, apart from the prediction log."""
    client_id: Id = "edgewise-labels"
    """Of the collector's own session with the broker."""
    username: Annotated[str, Meta(pattern=_LINE, description="one line of 1 to 1024 characters")] | None = None
    """The broker's user that may read crops; without one, and without a certificate, that of [broker]."""
    password: Annotated[str, Meta(pattern=_LINE, description="one line of 1 to 1024 characters")] | None = field(
        default=None, repr=False
    )
    """From the environment or a credential."""
    certificate: Path | None = None
    """Where the broker knows its clients by certificates: that of `edgewise-labels`."""
    certificate_key: Path | None = None
    device_crops: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Of one device, at most; further ones are refused, and the device is told."""
    device_mb: Annotated[int, Meta(ge=1, le=100_000)] = 100
    crops: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    """Of all devices."""
    mb: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    retention_days: Annotated[float, Meta(gt=0, le=3650)] = 90.0
    """After it crops and what people said of them are deleted; what was exported is another matter."""
    second_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """Of crops that are shown to a second person, to measure how far people agree."""

    def __post_init__(self) -> None:
        """Hold the rules that a type cannot say.

        Raises:
            UsageError: half of a certificate's pair is missing.
        """
        if (self.certificate is None) != (self.certificate_key is None):
            raise UsageError(
                "labels.certificate and labels.certificate_key belong together", remedy="give both or neither"
            )

    @property
    def key_file(self) -> Path:
        """The key's file.

        Raises:
            UsageError: none is named.
        """
        if self.key is None:
            raise UsageError(
                "labels are not collected here, for labels.key names no key",
                remedy="make one with `edgewise-bridge labels key FILE` and name it as key in [labels]",
            )
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """All of it, and where the bridge listens and stores."""

    listen: str = "127.0.0.1:9108"
    database: str = "sqlite:///predictions.db"
    """A SQLAlchemy URL: sqlite:///PATH, or postgresql://HOST/NAME."""
    hosts: tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...] = ()
    """Names with a dot under which browsers and Prometheus reach the bridge; addresses and plain names always may."""
    broker: BrokerSettings = BrokerSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    metrics: MetricSettings = MetricSettings()
    drift: DriftSettings = DriftSettings()
    labels: LabelSettings = LabelSettings()
    web: WebSettings = WebSettings()

    def __post_init__(self) -> None:
        """Hold the rules that a type cannot say.

        Raises:
            UsageError: `listen` is no address or one that others reach while nothing keeps them out, `database` is not
                one that the log runs on, or labels would stand in the log's own file or take its session away.
        """
        host, _ = _listen_address(self.listen)
        if not self.web.guarded and not _only_here(host):
            raise UsageError(
                f"listen {self.listen!r} shows the fleet to every machine that reaches this one",
                remedy="set web.password_hash to what `edgewise-bridge password` prints, or listen on 127.0.0.1",
            )
        _refuse_other_databases(self.database)
        log = make_url(self.database)
        if log.get_backend_name() == "sqlite" and Path(str(log.database)).absolute() == self.labels.database.absolute():
            raise UsageError(
                "labels.database is the file of the prediction log", remedy="name another file, such as labels.db"
            )
        if self.labels.key is not None and self.labels.client_id == self.broker.client_id:
            raise UsageError(
                "labels.client_id is that of [broker], and the broker has one connection of each",
                remedy="give it another, such as edgewise-labels",
            )

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of the HTTP server."""
        return _listen_address(self.listen)


def read(
    file: Path | None,
    environ: Mapping[str, str],
    *,
    broker: str | None = None,
    listen: str | None = None,
    database: str | None = None,
) -> BridgeSettings:
    """Settings of the file, overridden by the options and completed by the environment's secrets.

    Raises:
        UsageError: the file or a value cannot be used; the text names the key and the remedy.
    """
    table = read_toml(file, remedy="name another with --config") if file is not None else {}
    with found_in(f"{file}: "):
        _with_url(table)
        _refuse_password(table.get("database"))
    if broker is not None and isinstance(section := table.setdefault("broker", {}), dict):
        section.update(_keys_of(broker))
    if listen is not None:
        _listen_address(listen)  # here, so that the text does not blame the file
        table["listen"] = listen
    if database is not None:
        _refuse_password(database)
        _refuse_other_databases(database)
        table["database"] = database
    elif (url := DATABASE.read(environ)) is not None:
        table["database"] = url
    base = file.parent if file is not None else Path()
    secrets = {"broker.password": PASSWORD, "web.metrics_token": METRICS_TOKEN, "labels.password": LABELS_PASSWORD}
    return check(table, BridgeSettings, name=file, base=base, environ=environ, secrets=secrets)


def _with_url(table: dict[str, Any]) -> None:
    """Replace `broker.url` by the keys that it stands for; keys beside it win."""
    section = table.get("broker")
    if isinstance(section, dict) and "url" in section:
        table["broker"] = {**_keys_of(str(section.pop("url"))), **section}


def _keys_of(url: str) -> dict[str, Any]:
    address = BrokerAddress.parse(url)
    keys: dict[str, Any] = {"host": address.host, "port": address.port, "tls": address.tls}
    return keys if address.username is None else {**keys, "username": address.username}


def _listen_address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"listen {listen!r} is no address", remedy="give HOST:PORT such as 127.0.0.1:9108")
    return host.strip("[]"), int(port)


def _only_here(host: str) -> bool:
    """Whether only programs of this machine reach the address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def _refuse_other_databases(database: str) -> None:
    try:
        backend = make_url(database).get_backend_name()
    except (ArgumentError, ValueError) as error:  # whose texts would repeat a password
        raise UsageError(
            "database is no URL", remedy="give one such as sqlite:///predictions.db or postgresql://host/name"
        ) from error
    if backend not in {"sqlite", "postgresql"}:
        raise UsageError(f"database is one of {backend}", remedy="give a URL of sqlite or postgresql")


def _refuse_password(database: Any) -> None:
    with contextlib.suppress(ArgumentError, ValueError):  # what is no URL is refused with the rest
        if not isinstance(database, str):
            return
        url = make_url(database)
        if url.password is not None or any("pass" in key.lower() for key in url.query):
            raise UsageError("a database URL with a password belongs in no file or option", remedy=f"set {DATABASE}")
