"""The bridge's settings: an optional TOML file and command-line options, read once into frozen dataclasses.

Rules: an unknown key is refused with the nearest known one, a wrong type or range with the key's name; an option wins
over the file. Paths are relative to the file; systemd's credentials are looked through first. Secrets come from the
environment or those credentials, never from the command line, where every user of the machine could read them. The
only place of the bridge that reads the environment.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from edge_contract.errors import UsageError
from edge_contract.topics import ID_PATTERN

PASSWORD_VARIABLE: Final = "EDGEWISE_BROKER_PASSWORD"  # noqa: S105  # the variable's name, not a password
DATABASE_VARIABLE: Final = "EDGEWISE_DATABASE"
PASSWORD_CREDENTIAL: Final = "broker-password"  # noqa: S105  # the credential's name
DATABASE_CREDENTIAL: Final = "database-url"

Id = Annotated[str, Meta(pattern=ID_PATTERN)]
Port = Annotated[int, Meta(ge=1, le=65535)]
_SCHEMES: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is and who the bridge is to it."""

    host: str = "127.0.0.1"
    port: Port = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """Never in the file: from $EDGEWISE_BROKER_PASSWORD or the systemd credential `broker-password`."""
    tls: bool = False
    ca: Path | None = None
    """Certificates that vouch for the broker; the system's own when absent."""
    certificate: Path | None = None
    key: Path | None = None
    client_id: Id = "edgewise-bridge"
    """The broker keeps what this id has not fetched yet; two bridges need two ids."""
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 2)] = 7 * 86400
    """For how long the broker keeps messages for a bridge that is away; devices keep theirs until acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How many different label values the fleet may bring into being; what passes a limit is counted, not kept."""

    devices: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Messages of further devices are neither stored nor acknowledged: they wait in the devices' spools."""
    series_groups: Annotated[int, Meta(ge=1, le=100_000)] = 500
    """(site, model) pairs with histograms of their own; further ones share the pair (other, other)."""
    emotions: Annotated[int, Meta(ge=1, le=1000)] = 64
    """Labels counted per device and model; further ones are counted as `other`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How long predictions are kept."""

    retention_days: Annotated[float, Meta(gt=0, le=36500)] = 30.0
    retention_rows: Annotated[int, Meta(ge=1000, le=10**12)] = 5_000_000
    """The oldest go first; about 350 bytes each on SQLite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """What `/metrics` shows besides the fleet's sums."""

    per_device: tuple[Id, ...] = ()
    """Devices whose latency histograms are shown one by one: 120 series each. `all` names every device."""
    silent_after_s: Annotated[float, Meta(ge=10, le=86400)] = 180.0
    """An online device that has said nothing for so long is not up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """All of the above, and where the bridge listens and stores."""

    listen: str = "127.0.0.1:9108"
    database: str = "sqlite:///predictions.db"
    """A SQLAlchemy URL: sqlite:///PATH, or postgresql://HOST/NAME."""
    broker: BrokerSettings = BrokerSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    metrics: MetricSettings = MetricSettings()

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of the HTTP server."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def read(
    file: Path | None,
    environment: Mapping[str, str],
    *,
    broker: str | None = None,
    listen: str | None = None,
    database: str | None = None,
) -> BridgeSettings:
    """Settings of the file, overridden by the options and completed by the environment's secrets.

    Raises:
        UsageError: the file or a value cannot be used; the text names the key and the remedy.
    """
    table = _table(file) if file is not None else {}
    for where, known in ((table, "password"), (table.get("broker"), "password")):
        if isinstance(where, dict) and known in where:
            raise UsageError(f"{file}: a password does not belong in a settings file; give it in ${PASSWORD_VARIABLE}.")
    if isinstance(table.get("broker"), dict) and (url := table["broker"].pop("url", None)) is not None:
        table["broker"] = {**broker_from_url(str(url)), **table["broker"]}
    if broker is not None:
        table["broker"] = {**table.get("broker", {}), **broker_from_url(broker)}
    if listen is not None:
        table["listen"] = listen
    if database is not None:
        table["database"] = database
    _known_keys(table, BridgeSettings, "")
    _no_password_in(table.get("database"))
    if (secret := _secret(environment, PASSWORD_VARIABLE, PASSWORD_CREDENTIAL)) is not None:
        table["broker"] = {**table.get("broker", {}), "password": secret}
    if database is None and (url := _secret(environment, DATABASE_VARIABLE, DATABASE_CREDENTIAL)) is not None:
        table["database"] = url
    try:
        settings = msgspec.convert(table, BridgeSettings, dec_hook=_path_reader(file, environment))
    except msgspec.ValidationError as error:
        raise UsageError(f"the bridge's settings cannot be used: {error}.") from error
    return _checked(settings)


def broker_from_url(url: str) -> dict[str, Any]:
    """`mqtt://[user@]host[:port]` or `mqtts://…` as keys of `[broker]`.

    Raises:
        UsageError: another scheme, no host, or a password in the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"broker {url!r} is no address ({error}); give one such as mqtt://127.0.0.1:1883.") from error
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path.strip("/"):
        raise UsageError(f"broker {url!r} is no address; give one such as mqtt://127.0.0.1:1883 or mqtts://host.")
    if parts.password is not None:
        raise UsageError(f"a broker's address must not hold a password; give it in ${PASSWORD_VARIABLE}.")
    keys: dict[str, Any] = {"host": parts.hostname, "port": port or _SCHEMES[parts.scheme]}
    keys["tls"] = parts.scheme == "mqtts"
    if parts.username:
        keys["username"] = parts.username
    return keys


def _table(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"settings {file} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"settings {file} are no TOML: {error}.") from error


def _known_keys(table: Mapping[str, Any], kind: type, prefix: str) -> None:
    known = {each.name: each.type for each in fields(kind)}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {prefix}{near[0]!s}?" if near else f"known are: {', '.join(sorted(known))}."
            raise UsageError(f"the bridge has no setting {prefix}{key}; {hint}")
        nested = known[key]
        if isinstance(nested, type) and is_dataclass(nested):
            if not isinstance(value, dict):
                raise UsageError(f"the bridge's setting {prefix}{key} is a table; write it as [{prefix}{key}].")
            _known_keys(value, nested, f"{prefix}{key}.")


def _no_password_in(database: Any) -> None:
    if not isinstance(database, str):
        return
    try:
        password = make_url(database).password
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            "the database is named by a URL such as sqlite:///predictions.db or postgresql://host/name; "
            f"this is none: {error}."
        ) from error
    if password is not None:
        raise UsageError(
            f"a database URL with a password belongs in ${DATABASE_VARIABLE} or the credential {DATABASE_CREDENTIAL}, "
            "not on the command line or in a file."
        )


def _secret(environment: Mapping[str, str], variable: str, credential: str) -> str | None:
    if (value := environment.get(variable)) is not None:
        return value
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder is None or not (path := Path(folder) / credential).is_file():
        return None
    return path.read_text(encoding="utf-8").strip()


def _path_reader(file: Path | None, environment: Mapping[str, str]) -> Callable[[type, Any], Any]:
    """Paths are relative to the settings file, and looked for among systemd's credentials first."""
    folders = [Path(environment[name]) for name in ("CREDENTIALS_DIRECTORY",) if name in environment]
    base = file.parent if file is not None else Path()

    def read_path(kind: type, value: Any) -> Any:
        if kind is not Path or not isinstance(value, str):
            raise NotImplementedError(kind)
        return next((folder / value for folder in folders if (folder / value).is_file()), base / value)

    return read_path


def _checked(settings: BridgeSettings) -> BridgeSettings:
    """Hold the rules that a type cannot say."""
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"listen {settings.listen!r} is no address; give HOST:PORT such as 127.0.0.1:9108.")
    try:
        backend = make_url(settings.database).get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise UsageError("the database URL is not readable; give one such as sqlite:///predictions.db.") from error
    if backend not in {"sqlite", "postgresql"}:
        raise UsageError(f"the prediction log runs on sqlite and postgresql, not on {backend}.")
    broker = settings.broker
    if (broker.certificate is None) != (broker.key is None):
        raise UsageError("broker.certificate and broker.key belong together; give both or neither.")
    if not broker.tls and (broker.ca or broker.certificate):
        raise UsageError("broker.ca and broker.certificate need TLS; give the broker as mqtts://HOST.")
    return settings
