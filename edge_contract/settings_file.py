"""From a TOML file to a role's checked settings: what is refused, where secrets come from, and in which words.

Rules, the same for every role: an unknown key is refused with the nearest known one, a value of a wrong type or range
with its key. A relative path names a systemd credential if there is one of that name, otherwise it is relative to the
file. A secret comes from the environment or from a systemd credential, never from the file.

Not here: which keys there are. Each role describes them as frozen dataclasses, one a section, with their defaults; what
a type cannot say, such a class checks in its `__post_init__` and raises as `UsageError`.
"""

import contextlib
import dataclasses
import errno
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from edge_contract import limits
from edge_contract.bounded_read import read_text
from edge_contract.errors import UsageError
from edge_contract.rule_words import broken_rule
from edge_contract.this_user import expanded

LARGEST: Final = 1 << 20
"""Bytes of a settings file; a larger file is another one, named by mistake."""

CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd gives the directory of a unit's credentials."""

T = TypeVar("T")


class Secret(NamedTuple):
    """Where a value comes from that must not be in a file or on a command line, which others can read."""

    variable: str
    credential: str

    def read(self, environ: Mapping[str, str]) -> str | None:
        """The variable's value, else the credential's text without the space around it; None where neither is set.

        Raises:
            UsageError: there is such a credential, and it cannot be read.
        """
        if value := environ.get(self.variable):
            return value
        if not (directory := environ.get(CREDENTIALS)):
            return None
        try:
            return read_text(Path(directory) / self.credential, limits.SECRET_BYTES).strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the credential {self.credential} cannot be read ({error})", remedy="check LoadCredential= of the unit"
            ) from error

    def __str__(self) -> str:
        return f"${self.variable} or the systemd credential {self.credential}"


def read_toml(path: Path, *, remedy: str) -> dict[str, Any]:
    """The file's tables and values. `remedy`: what to do where it cannot be read.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    try:
        text = read_text(path, LARGEST)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no TOML ({error})", remedy="correct it, or name the right file") from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UsageError(f"{path} is larger than a settings file can be", remedy="name the right file") from error
        raise UsageError(f"the settings {path} cannot be read ({error.strerror})", remedy=remedy) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML ({error})", remedy="correct it, or name the right file") from error


def check(
    document: Mapping[str, Any],
    kind: type[T],
    *,
    name: Path | None,
    base: Path,
    environ: Mapping[str, str],
    secrets: Mapping[str, Secret] = types.MappingProxyType({}),
) -> T:
    """Settings of the dataclass `kind` from a file's tables and values.

    `name` stands in errors. Relative paths start at `base`. `secrets`: keys such as "broker.password" that are refused
    in the document and filled from elsewhere.

    Raises:
        UsageError: a key of it cannot be used; the text names file and key.
    """
    prefix = f"{name}: " if name is not None else ""
    _refuse_unknown(document, kind, "", prefix)
    for key, secret in secrets.items():
        document = _with_secret(document, key, secret, prefix, environ)

    def path_of(wanted: type, value: Any) -> Any:
        if wanted is not Path or not isinstance(value, str):
            raise ValueError(f"Expected `path`, got `{type(value).__name__}`")
        if not value:
            raise ValueError("Expected `path` of length >= 1")
        return located(value, base, environ)

    try:
        with found_in(prefix):
            return msgspec.convert(document, kind, dec_hook=path_of)
    except msgspec.ValidationError as error:
        key, rule = broken_rule(error, kind)
        raise UsageError(f"{prefix}{key or 'the file'} {rule}", remedy="correct this value") from error


@contextlib.contextmanager
def found_in(prefix: str) -> Iterator[None]:
    """Put the file, or the file and key, before the text of a `UsageError` of the block: "agent.toml: "."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{prefix}{error.problem}", remedy=error.remedy) from error


def located(value: str, base: Path, environ: Mapping[str, str]) -> Path:
    """The file that a setting names: a systemd credential of that name, otherwise relative to `base`.

    Raises:
        ValueError: it begins with ~ and there is no such home directory.
    """
    path = expanded(Path(value))
    directory = environ.get(CREDENTIALS)
    if directory and len(path.parts) == 1 and (Path(directory) / path).exists():
        return Path(directory) / path
    return base.absolute() / path


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The known key that was most likely meant; None where none is similar."""
    import difflib  # noqa: PLC0415  # only a mistake needs it

    return next(iter(difflib.get_close_matches(key, list(known), 1, 0.6)), None)


def _refuse_unknown(table: Mapping[str, Any], kind: Any, where: str, prefix: str) -> None:
    known = {name: _bare(hint) for name, hint in typing.get_type_hints(kind).items()}
    for key, value in table.items():
        if key not in known:
            near = nearest(key, known)
            remedy = f"write {where}{near} if that was meant" if near else f"known here are: {', '.join(sorted(known))}"
            raise UsageError(f"{prefix}{where}{key} is no setting", remedy=remedy)
        if dataclasses.is_dataclass(known[key]):
            if not isinstance(value, Mapping):
                raise UsageError(f"{prefix}{where}{key} is a section", remedy=f"write it as [{where}{key}]")
            _refuse_unknown(value, known[key], f"{where}{key}.", prefix)


def _bare(hint: Any) -> Any:
    """The type itself where it may also be None."""
    if isinstance(hint, types.UnionType):
        return next((part for part in typing.get_args(hint) if part is not types.NoneType), hint)
    return hint


def _with_secret(
    document: Mapping[str, Any], key: str, secret: Secret, prefix: str, environ: Mapping[str, str]
) -> Mapping[str, Any]:
    section, _, leaf = key.rpartition(".")
    table = document.get(section, {})
    if leaf in table:
        raise UsageError(f"{prefix}{key} does not belong in a file", remedy=f"set {secret}")
    value = secret.read(environ)
    return document if value is None else {**document, section: {**table, leaf: value}}
