"""The agent's settings file, completed by the machine and by what the operator changed from afar.

The rules for files, paths and secrets are every role's (`edge_contract.settings_file`). Here is what is the device's
own: its id and state directory, the camera's address, and overrides. These are what signed `set-config` commands
changed: a small JSON file in the state directory, applied over the settings file, so that they outlive a restart and
never touch what a person wrote. The environment is read nowhere else.
"""

import contextlib
import dataclasses
import datetime
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_agent.sampling.settings import narrowed
from edge_agent.settings import RELOADABLE, Settings
from edge_contract.bounded_read import read_file
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from edge_contract.settings_file import LARGEST, Secret, check, found_in, nearest, read_toml
from edge_contract.this_user import expanded
from edge_mqtt.address import PASSWORD

SOURCE: Final = Secret("EDGEWISE_SOURCE_URL", "source-url")
"""A camera's address with a password in it; without one it may stand in the file."""
OVERRIDES: Final = "set-config.json"
UNSET: Final = "unset"
"""As a value of `set-config`: the key is again what the file says."""

_EXAMPLE: Final = "start from deploy/agent.example.toml"
_TIMES: Final = frozenset({"given", "until"})
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
    document = read_toml(path, remedy=_EXAMPLE)
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
    with found_in(f"{name}: "):
        document = _with_times(document)
    settings = check(document, Settings, name=name, base=base, environ=environ, secrets={"broker.password": PASSWORD})
    return _completed(settings, base, environ, hostname or os.uname().nodename)


def reloaded(running: Settings, read: Settings) -> tuple[Settings, tuple[str, ...]]:
    """What may change of `read` while the agent runs, taken over; and the keys that changed but need a restart."""
    taken = dataclasses.replace(running, sampling=narrowed(running.sampling, read.sampling))
    before, after = dict(_leaves(taken)), dict(_leaves(read))
    changed = [key for key in after if after[key] != before.get(key)]
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
            near = nearest(key, RELOADABLE)
            remedy = f"write {near} if that was meant" if near else f"it may change: {', '.join(sorted(RELOADABLE))}"
            raise UsageError(f"set-config cannot change {key}", remedy=remedy)
    merged = {**read_overrides(state_dir), **changes}
    merged = {key: value for key, value in merged.items() if value != UNSET}
    document = read_toml(settings_path, remedy=_EXAMPLE)
    for key, value in merged.items():
        _set(document, key, value)
    from_document(document, Path("set-config"), environ, base=settings_path.parent)
    write_file(state_dir / OVERRIDES, msgspec.json.encode(merged))


def read_overrides(state_dir: Path) -> dict[str, Scalar]:
    """What `set-config` changed so far; a damaged file counts as none, for it must not keep the agent from starting."""
    try:
        found = msgspec.json.decode(read_file(state_dir / OVERRIDES, LARGEST), type=dict[str, Scalar])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return {key: value for key, value in found.items() if key in RELOADABLE}


def _completed(settings: Settings, base: Path, environ: Mapping[str, str], hostname: str) -> Settings:
    """Fill in what depends on the machine: id, state directory, and the source's path or secret address."""
    device, source = settings.device, settings.source
    if not device.id:
        device = dataclasses.replace(
            device, id=re.sub(r"[^a-z0-9-]+", "-", hostname.lower())[:64].strip("-") or "device"
        )
    if device.state_dir == Path():
        device = dataclasses.replace(device, state_dir=_state_directory(environ))
    if secret_url := SOURCE.read(environ):
        source = dataclasses.replace(source, url=secret_url)
    if not source.url.isdecimal() and _is_there(base / source.url):
        source = dataclasses.replace(source, url=str(base / source.url))
    return dataclasses.replace(settings, device=device, source=source)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # an address may be longer than any name of a file
        return False


def _state_directory(environ: Mapping[str, str]) -> Path:
    if given := environ.get("STATE_DIRECTORY"):  # systemd; more than one is separated by colons
        return Path(given.partition(":")[0])
    if home := environ.get("XDG_STATE_HOME"):
        return Path(home) / "edgewise-agent"
    try:
        return expanded(Path(environ.get("HOME") or "~")) / ".local" / "state" / "edgewise-agent"
    except ValueError as error:
        raise UsageError(str(error), remedy="set device.state_dir in the settings, or the variable HOME") from error


def _with_times(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with the dates of a consent as seconds since 1970."""
    sampling = document.get("sampling")
    consent = sampling.get("consent") if isinstance(sampling, Mapping) else None
    if not isinstance(sampling, Mapping) or not isinstance(consent, Mapping):
        return document
    times = {key: _seconds(value, f"sampling.consent.{key}") for key, value in consent.items() if key in _TIMES}
    return {**document, "sampling": {**sampling, "consent": {**consent, **times}}}


def _seconds(value: object, key: str) -> float:
    """A TOML date or time, or the same as a text; a date alone is its first moment, UTC.

    Raises:
        UsageError: it is none, or a time without its offset: that of this board may change.
    """
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.datetime.fromisoformat(value) if ":" in value else datetime.date.fromisoformat(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time(), datetime.UTC)
    if not isinstance(value, datetime.datetime) or value.tzinfo is None or value.timestamp() <= 0:
        raise UsageError(
            f"{key} is no date after 1970, and no time with its offset",
            remedy="write it as 2026-12-31 or 2026-12-31T18:00:00+01:00",
        )
    return value.timestamp()


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
