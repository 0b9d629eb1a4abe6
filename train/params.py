"""One section of params.yaml as a frozen settings object; anything unknown is refused by name."""

import argparse
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
import ruamel.yaml
import ruamel.yaml.error
import yaml

from edge_contract.bounded_read import read_text
from edge_contract.durable import replacing
from edge_contract.errors import UsageError
from edge_contract.rule_words import broken_rule
from edge_contract.settings_file import LARGEST


class _Loader(yaml.SafeLoader):
    """YAML in which `1e-3` is a number and no key stands twice: YAML 1.2, as for DVC, which reads the same file."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Of two lines that say the same setting, one would be ignored without a word."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"says `{key.value}` twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)

LONGEST_LINE = 4096  # nothing is wrapped that was not
SectionT = TypeVar("SectionT", bound=msgspec.Struct)


def load_section(path: Path, section: str, kind: type[SectionT], changes: Iterable[str] = ()) -> SectionT:
    """Read `section` of a params file as `kind`, with `changes` such as "augment.mixup=0.2" in place of what it says.

    Raises:
        UsageError: The file or section is missing, or a key or value does not fit; the text names the nearest valid
            key.
    """
    try:
        document = yaml.load(read_text(path, LARGEST), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist", remedy="run from the checkout, or name another file with --params"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not YAML, or not as it is used here ({_one_line(error)})", remedy="correct it"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="name another with --params") from error
    if not isinstance(document, dict) or not isinstance(document.get(section), dict):
        raise UsageError(f"{path} has no section `{section}`.")
    return section_from(_changed(document[section], changes), section, kind)


def write_values(path: Path, section: str, values: dict[str, Any]) -> None:
    """Change `values` of a section in a params file; comments and everything else stay as they are."""
    keeping = ruamel.yaml.YAML()
    keeping.preserve_quotes, keeping.width = True, LONGEST_LINE
    try:
        document = keeping.load(read_text(path, LARGEST))
    except (ruamel.yaml.error.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be changed ({_one_line(error)})", remedy="correct it") from error
    document[section].update(values)
    with replacing(path) as file:
        keeping.dump(document, file)


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """`--set NAME=VALUE`, as often as wanted: what the command's section of the params file says otherwise."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="instead of what the params file says, such as seed=2 or augment.mixup=0.2; may be repeated",
    )  # fmt: skip


def section_from(values: dict[str, Any], section: str, kind: type[SectionT]) -> SectionT:
    """Check `values` against `kind`, nested sections included."""
    _refuse_unknown(values, section, kind)
    try:
        return msgspec.convert(values, kind)
    except UnicodeEncodeError as error:  # half of a pair, as "\\ud800" in YAML
        raise UsageError(
            f"params section `{section}` has a character that no file takes", remedy="write it otherwise"
        ) from error
    except msgspec.ValidationError as error:
        key, rule = broken_rule(error, kind)
        named = f"params section `{section}`{': ' if key else ''}{key}"
        raise UsageError(f"{named} {rule}", remedy="correct this value") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def nearest(name: str, valid: list[str]) -> str:
    """Half a sentence that offers the closest valid name, or all of them when none is close."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"valid are: {', '.join(sorted(valid))}."


def _changed(values: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    for change in changes:
        name, equals, text = change.partition("=")
        try:
            value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        except (yaml.YAMLError, ValueError, RecursionError):
            equals = ""
        if not equals or not all(keys := name.strip().split(".")):
            raise UsageError(
                f"--set {change} changes no setting", remedy="write a name, = and a value, such as augment.mixup=0.2"
            )
        for key in reversed(keys):
            value = {key: value}
        values = _merged(values, value)
    return values


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _refuse_unknown(values: dict[str, Any], section: str, kind: type[msgspec.Struct]) -> None:
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise UsageError(f"params section `{section}` has no `{key}`: {nearest(str(key), list(hints))}")
        hint = hints[key]
        if isinstance(value, dict) and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            _refuse_unknown(value, f"{section}.{key}", hint)
