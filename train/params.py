"""One section of params.yaml as a frozen settings object; anything unknown is refused by name."""

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
import yaml

from edge_contract.errors import UsageError

SectionT = TypeVar("SectionT", bound=msgspec.Struct)


def load_section(path: Path, section: str, kind: type[SectionT]) -> SectionT:
    """Read `section` of a params file as `kind`.

    Raises:
        UsageError: The file or section is missing, or a key or value does not fit; the text names the nearest valid
            key.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: run from the checkout, or name another file with --params.") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get(section), dict):
        raise UsageError(f"{path} has no section `{section}`.")
    return section_from(document[section], section, kind)


def section_from(values: dict[str, Any], section: str, kind: type[SectionT]) -> SectionT:
    """Check `values` against `kind`, nested sections included."""
    _refuse_unknown(values, section, kind)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"params section `{section}`: {error}.") from error


def nearest(name: str, valid: list[str]) -> str:
    """Half a sentence that offers the closest valid name, or all of them when none is close."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"valid are: {', '.join(sorted(valid))}."


def _refuse_unknown(values: dict[str, Any], section: str, kind: type[msgspec.Struct]) -> None:
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise UsageError(f"params section `{section}` has no `{key}`: {nearest(str(key), list(hints))}")
        hint = hints[key]
        if isinstance(value, dict) and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            _refuse_unknown(value, f"{section}.{key}", hint)
