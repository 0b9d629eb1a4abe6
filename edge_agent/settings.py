"""The agent's settings: one TOML file, read once into frozen dataclasses. The only place that reads the environment.

Rules: an unknown key is refused with the nearest known one, a wrong type or range with the key's name. Secrets come
from the environment or systemd's credentials, never from the file. Relative paths are relative to the file;
`broker.ca`, `certificate` and `key` are looked for in $CREDENTIALS_DIRECTORY first.

Keys in `RELOADABLE` may change while the agent runs (SIGHUP, `set-config`); the rest need a restart.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from edge_contract.topics import ID_PATTERN

Port = Annotated[int, Meta(ge=1, le=65535)]
Id = Annotated[str, Meta(pattern=ID_PATTERN)]

PASSWORD_VARIABLE: Final = "EDGEWISE_BROKER_PASSWORD"  # noqa: S105  # the variable's name, not a password
PASSWORD_CREDENTIAL: Final = "broker-password"  # noqa: S105  # the credential's name


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is and who this device is to it."""

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
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    """The broker calls the device offline after one and a half of these."""
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 2)] = 7 * 86400
    """For how long the broker keeps commands for a device that is away."""
