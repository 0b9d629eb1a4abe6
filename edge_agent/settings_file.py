"""From a TOML file, the environment and the operator's overrides to checked `Settings`.

Rules: an unknown key is refused with the nearest known one, a wrong type or range with the key's name. Secrets come
from the environment or from systemd's credentials, never from the file. A relative path means a credential of that
name if there is one, otherwise it is relative to the file. The environment is read nowhere else.

Overrides are what signed `set-config` commands changed: a small JSON file in the state directory, applied over the
file, so they outlive a restart and never touch what a person wrote.
"""

import dataclasses
import difflib
import os
import platform
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_agent.settings import RELOADABLE, Settings
from edge_contract.durable import write_file
from edge_contract.errors import UsageError

PASSWORD_VARIABLE: Final = "EDGEWISE_BROKER_PASSWORD"  # noqa: S105  # the variable's name, not a password
PASSWORD_CREDENTIAL: Final = "broker-password"  # noqa: S105  # the credential's name
SOURCE_VARIABLE: Final = "EDGEWISE_SOURCE_URL"
SOURCE_CREDENTIAL: Final = "source-url"
OVERRIDES: Final = "set-config.json"
UNSET: Final = "unset"
"""As a value of `set-config`: the key is again what the file says."""

_LARGEST: Final = 1 << 20  # bytes of a settings file
Scalar = str | int | float | bool


class SettingsFile:
    """One settings file and the environment it is read in: to read again, and to be overridden from afar."""

    def __init__(self, path: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._path, self._environ = path, environ

    def read(self) -> Settings:
        """As `load`."""
        return load(self._path, self._environ)

    def override(self, changes: Mapping[str, Scalar]) -> None:
        """As `override`."""
        override(self.read().device.state_dir, changes, self._path, self._environ)


def load(path: Path, environ: Mapping[str, str] = os.environ, *, hostname: str | None = None) -> Settings:
    """Read and check the settings file, with overrides and secrets.

    Raises:
        UsageError: the file cannot be read, or a key of it cannot be used; the text names it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise UsageError(f"{path} is larger than a settings file can be; name the right file.")
        document = tomllib.loads(text.decode())
    except OSError as error:
        raise UsageError(
            f"the settings {path} cannot be read ({error.strerror}); start from deploy/agent.example.toml."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}.") from error
    settings = from_document(document, path, environ, hostname=hostname)
    overrides = read_overrides(settings.device.state_dir)
    if not overrides:
        return settings
    for key, value in overrides.items():
        _set(document, key, value)
    return from_document(document, settings.device.state_dir / OVERRIDES, environ, base=path.parent, hostname=hostname)


def from_document(
    document: Mapping[str, Any],
    name: Path,
    environ: Mapping[str, str],
    *,
    base: Path | None = None,
    hostname: str | None = None,
) -> Settings:
    """Check a parsed file. `name` stands in errors; relative paths start at `base`, by default `name`'s folder.

    Raises:
        UsageError: a key of it cannot be used.
    """
    base = (base or name.parent).absolute()
    _refuse_unknown(document, Settings, "", name)

    def path_of(kind: type, value: Any) -> Any:
        if kind is not Path or not isinstance(value, str):
            raise ValueError(f"Expected `path`, got `{type(value).__name__}`")
        return _located(value, base, environ)

    try:
        settings = msgspec.convert(document, Settings, dec_hook=path_of)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise UsageError(f"{name}: {where.strip('.`') or 'the file'}: {what[:1].lower()}{what[1:]}.") from error
    if settings.broker.password is not None:
        raise UsageError(
            f"{name}: broker.password does not belong in a file; set ${PASSWORD_VARIABLE} or the systemd credential "
            f"{PASSWORD_CREDENTIAL}."
        )
    return _completed(settings, base, environ, hostname or platform.node(), name)


def reloaded(running: Settings, read: Settings) -> tuple[Settings, tuple[str, ...]]:
    """What may change of `read` while the agent runs, taken over; and the keys that changed but need a restart."""
    before, after = dict(_leaves(running)), dict(_leaves(read))
    changed = [key for key in after if after[key] != before.get(key)]
    taken = running
    for key in changed:
        if key in RELOADABLE:
            taken = _replaced(taken, key.split("."), after[key])
    return taken, tuple(key for key in changed if key not in RELOADABLE)


def override(state_dir: Path, changes: Mapping[str, Scalar], settings_path: Path, environ: Mapping[str, str]) -> None:
    """Persist what a signed `set-config` changes, if all of it is allowed and valid; otherwise nothing.

    Raises:
        UsageError: a key may not be changed from afar, or its value cannot be used.
    """
    for key in changes:
        if key not in RELOADABLE:
            near = _nearest(key, RELOADABLE)
            raise UsageError(f"set-config cannot change {key!r}{near}; it may change: {', '.join(sorted(RELOADABLE))}.")
    merged = {**read_overrides(state_dir), **changes}
    merged = {key: value for key, value in merged.items() if value != UNSET}
    document = tomllib.loads(settings_path.read_text())
    for key, value in merged.items():
        _set(document, key, value)
    from_document(document, Path("set-config"), environ, base=settings_path.parent)
    write_file(state_dir / OVERRIDES, msgspec.json.encode(merged))


def read_overrides(state_dir: Path) -> dict[str, Scalar]:
    """What `set-config` changed so far; a damaged file counts as none, for it must not keep the agent from starting."""
    try:
        found = msgspec.json.decode((state_dir / OVERRIDES).read_bytes(), type=dict[str, Scalar])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return {key: value for key, value in found.items() if key in RELOADABLE}


def _completed(settings: Settings, base: Path, environ: Mapping[str, str], hostname: str, name: Path) -> Settings:
    """Fill in what depends on the machine: id, state directory, secrets, and the source's path."""
    device, broker, source = settings.device, settings.broker, settings.source
    if not device.id:
        device = dataclasses.replace(
            device, id=re.sub(r"[^a-z0-9-]+", "-", hostname.lower())[:64].strip("-") or "device"
        )
    if device.state_dir == Path():
        device = dataclasses.replace(device, state_dir=_state_directory(environ))
    password = environ.get(PASSWORD_VARIABLE) or _credential(PASSWORD_CREDENTIAL, environ)
    secret_url = environ.get(SOURCE_VARIABLE) or _credential(SOURCE_CREDENTIAL, environ)
    if secret_url:
        source = dataclasses.replace(source, url=secret_url)
    broker = dataclasses.replace(broker, password=password)
    if broker.certificate is not None and not broker.tls:
        raise UsageError(f"{name}: broker.certificate is only shown over TLS; set broker.tls = true.")
    if (base / source.url).exists() and not source.url.isdecimal():
        source = dataclasses.replace(source, url=str(base / source.url))
    return dataclasses.replace(settings, device=device, broker=broker, source=source)


def _state_directory(environ: Mapping[str, str]) -> Path:
    if given := environ.get("STATE_DIRECTORY"):  # systemd; more than one is separated by colons
        return Path(given.partition(":")[0])
    home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "state")
    return Path(home) / "edgewise-agent"


def _credential(name: str, environ: Mapping[str, str]) -> str | None:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return (Path(folder) / name).read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the credential {name} cannot be read ({error}); check LoadCredential= of the unit."
        ) from error


def _located(value: str, base: Path, environ: Mapping[str, str]) -> Path:
    path = Path(value).expanduser()
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder and len(path.parts) == 1 and (Path(folder) / path).exists():
        return Path(folder) / path
    return base / path


def _sections(kind: Any) -> dict[str, Any]:
    """Field name → type of a dataclass, with Annotated and Optional taken off."""
    return {name: _bare(hint) for name, hint in typing.get_type_hints(kind).items()}


def _bare(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return next((_bare(part) for part in typing.get_args(hint) if part is not type(None)), hint)
    return hint


def _refuse_unknown(table: Mapping[str, Any], kind: Any, where: str, name: Path) -> None:
    known = _sections(kind)
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{name}: {where}{key} is no setting{_nearest(key, known)}.")
        if dataclasses.is_dataclass(known[key]) and isinstance(value, Mapping):
            _refuse_unknown(value, known[key], f"{where}{key}.", name)


def _nearest(key: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _set(document: dict[str, Any], key: str, value: Scalar) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    document[leaf] = value


def _leaves(settings: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{where}{field.name}.")
        else:
            yield f"{where}{field.name}", value


def _replaced(settings: Any, path: list[str], value: Any) -> Any:
    if len(path) > 1:
        value = _replaced(getattr(settings, path[0]), path[1:], value)
    return dataclasses.replace(settings, **{path[0]: value})
