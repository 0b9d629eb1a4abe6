"""The bridge's settings: an optional TOML file and command-line options, read once into frozen dataclasses.

The sections stand in the `settings` of the folders that they are of. The rules for files, paths and secrets are every
role's (`edge_contract.settings_file`); an option wins over the file. The only place of the bridge that reads the
environment.
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

from edge_bridge.drift.settings import DriftSettings
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.labels.settings import PASSWORD as LABELS_PASSWORD
from edge_bridge.labels.settings import LabelSettings
from edge_bridge.mqtt.settings import BrokerSettings
from edge_bridge.web.settings import METRICS_TOKEN, WebSettings
from edge_contract.errors import UsageError
from edge_contract.settings_file import Secret, check, found_in, read_toml
from edge_mqtt.address import PASSWORD, BrokerAddress

DATABASE: Final = Secret("EDGEWISE_DATABASE", "database-url")
"""A database URL with a password in it; without one it may be an option or stand in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """All of it, and where the bridge listens and stores."""

    listen: str = "127.0.0.1:9108"
    database: str = "sqlite:///predictions.db"
    """A SQLAlchemy URL: sqlite:///PATH, or postgresql://HOST/NAME."""
    hosts: tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...] = ()
    """Names with a dot under which browsers and Prometheus reach the bridge; addresses and plain names always may."""
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricSettings = field(default_factory=MetricSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    web: WebSettings = field(default_factory=WebSettings)

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
