"""A plan in words: from a TOML file or from options, and back. Every mistake is one sentence with its remedy.

Durations are "90s", "30m", "24h", "2d", "1h30m"; shares are "10%" or 0.1; the size of a wave is "5" devices or "10%" of
the group. `shadow = false` and `behaves = false` leave a gate out.
"""

import itertools
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs

from edge_contract.errors import UsageError
from edge_contract.messages import Share
from edge_contract.rule_words import broken_rule
from edge_contract.settings_file import LARGEST, nearest
from edge_contract.visible import visible
from edge_contract.wave import ShadowTerms
from edge_fleet.rollout.plans.plan import DEFAULT, BehavesGate, HealthyGate, InstalledGate, Plan, ShadowGate, WaveSize
from edge_fleet.rollout.plans.words import duration, in_words, share, shown, wave_size, window

_SECTIONS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "shadow": ShadowGate, "installed": InstalledGate, "healthy": HealthyGate, "behaves": BehavesGate,
    "shadow.terms": ShadowTerms,
}  # fmt: skip
_UNSHOWN: Final[Mapping[str, tuple[float, str]]] = {
    "shadow.agreement": (1.0, '"99%"'),
    **{f"shadow.{key}": (0.0, '"1%"') for key in ("shift", "less_sure", "swapped", "contradicted")},
    **{f"shadow.{key}": (0.0, '"1%"') for key in ("slower", "failures")},
    **{f"behaves.{key}": (0.0, '"1%"') for key in ("errors", "confidence", "mix")},
    "behaves.latency": (1.0, "1.1"),
}  # fmt: skip
"""Limits that no number of looks shows to be kept, since chance alone is always beyond; and one that can be."""
_OPTIONAL: Final = ("shadow", "behaves")
_DURATIONS: Final = ("timeout", "soak", "silent", "spacing")
_MOST_WAVES: Final = 100


def parse_plan(text: bytes, where: str) -> Plan:
    """The plan of a TOML file; `where` stands in errors, and is the file's name.

    Raises:
        UsageError: it is no TOML, or a key or value of it cannot be used.
    """
    if len(text) > LARGEST:
        raise UsageError(f"{where} is larger than a plan can be", remedy="name the right file")
    try:
        document = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no TOML ({visible(str(error))})", remedy="correct it, or name another") from error
    try:
        return _plan(document)
    except UsageError as error:
        raise UsageError(f"{where}: {error.problem}", remedy=error.remedy) from error


def plan_of_options(
    *,
    base: Plan = DEFAULT,
    shadow: int | None = None,
    waves: str | None = None,
    soak: str | None = None,
    approve: str | None = None,
    windows: Sequence[str] = (),
) -> Plan:
    """`base`, with what the options say in its place: `--shadow 200` (0: none), `--waves 1,10%,100%`, `--soak 30m`,
    `--approve 10%,100%`, `--window 02:00-05:00`.

    Raises:
        UsageError: an option cannot be used.
    """
    document = _document(base)
    if waves is not None:
        document["waves"] = waves.split(",")
        if approve is None:
            kept = {str(base.waves[number - 1]) if number else "shadow" for number in base.approve}
            document["approve"] = [name for name in ("shadow", *map(str.strip, document["waves"])) if name in kept]
    if approve is not None:
        document["approve"] = approve.split(",")
    if windows:
        document["windows"] = list(windows)
    if soak is not None:
        document["healthy"]["soak"] = soak
    if shadow is not None and shadow < 1:
        document["shadow"] = False
        document["approve"] = [name for name in document["approve"] if name != "shadow" or approve is not None]
    elif shadow is not None:
        gate = {} if document["shadow"] is False else document["shadow"]
        document["shadow"] = {**gate, "faces": shadow}
    return _plan(document)


def plan_as_toml(plan: Plan) -> str:
    """The plan as a file that `parse_plan` reads as the same plan, with every key."""
    document = _document(plan)
    sections = {name: document.pop(name) for name in tuple(document) if isinstance(document[name], dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in document.items()]
    for name, section in _nested(sections):
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _plan(document: Mapping[str, Any]) -> Plan:
    keys = {field.name for field in structs.fields(Plan)}
    _refuse_unknown(document, keys, "")
    checked: dict[str, Any] = {"risk": share(document["risk"], "risk")} if "risk" in document else {}
    for name in ("shadow", "installed", "healthy", "behaves"):
        if name in document:
            checked[name] = _section(document[name], name)
    checked["waves"] = waves = _waves(document["waves"]) if "waves" in document else DEFAULT.waves
    checked["approve"] = _approved(document.get("approve", []), waves, shadow=checked.get("shadow", True) is not None)
    checked["windows"] = [window(value) for value in _listed(document.get("windows", []), "windows")]
    try:
        return msgspec.convert(msgspec.to_builtins(checked), Plan)
    except msgspec.ValidationError as error:
        key, rule = broken_rule(error, Plan)
        bounds = ("at most ", "at least ")
        if key.rpartition(".")[2] in _DURATIONS and (bound := next((each for each in bounds if each in rule), None)):
            rule = f"must be {bound}{in_words(float(rule.rpartition(bound)[2]))}"
        raise UsageError(f"{key or 'the plan'} {rule}", remedy="correct this value") from error


def _section(table: Any, name: str) -> dict[str, Any] | None:
    """A gate's table with every duration and share a number; None where the gate is left out."""
    if table is False and name in _OPTIONAL:
        return None
    if table is False:
        raise UsageError(f"the gate {name} cannot be left out", remedy=f"take {name} = false out")
    if not isinstance(table, Mapping):
        raise UsageError(f"{name} is a section", remedy=f"write it as [{name}]")
    kind = _SECTIONS[name]
    hints = typing.get_type_hints(kind, include_extras=True)
    _refuse_unknown(table, hints, f"{name}.")
    section: dict[str, Any] = {}
    for key, value in table.items():
        full = f"{name}.{key}"
        if full in _SECTIONS:
            section[key] = _section(value, full)
        elif key in _DURATIONS:
            section[key] = duration(value, full)
        elif hints[key] == Share:
            section[key] = share(value, full)
        else:
            section[key] = value
        _refuse_unshown(full, section[key], value)
    return section


def _refuse_unshown(key: str, limit: object, written: object) -> None:
    if key in _UNSHOWN and not isinstance(limit, bool) and limit == _UNSHOWN[key][0]:
        raise UsageError(
            f"{key} {shown(written)} can never be shown, however long one looks",
            remedy=f"leave some room, such as {_UNSHOWN[key][1]}",
        )


def _waves(value: object) -> tuple[WaveSize, ...]:
    waves = tuple(wave_size(each) for each in _listed(value, "waves"))
    if not waves:
        raise UsageError("the plan has no wave", remedy='write at least one, such as waves = ["100%"]')
    if len(waves) > _MOST_WAVES:
        raise UsageError(f"the plan has {len(waves)} waves", remedy=f"write at most {_MOST_WAVES}")
    for kept in (
        [(wave.devices, wave) for wave in waves if wave.devices],
        [(wave.share, wave) for wave in waves if not wave.devices],
    ):
        for (before, earlier), (now, wave) in itertools.pairwise(kept):
            if now <= before:
                raise UsageError(
                    f"the wave {wave} after {earlier} does not grow", remedy="a wave counts everyone of earlier ones in"
                )
    return waves


def _approved(value: object, waves: tuple[WaveSize, ...], *, shadow: bool) -> list[int]:
    known = {str(wave): number for number, wave in enumerate(waves, 1)}
    if shadow:
        known = {"shadow": 0, **known}
    approved = set()
    for each in _listed(value, "approve"):
        name = each.strip() if isinstance(each, str) else each
        if name != "shadow":
            name = str(wave_size(name))
        if name not in known:
            raise UsageError(
                f"approve names {shown(each)}, and the plan has no such wave", remedy=f"it has {', '.join(known)}"
            )
        approved.add(known[name])
    return sorted(approved)


def _listed(value: object, key: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UsageError(f"{key} is a list", remedy=f'write it as {key} = ["…", "…"]')
    return list(value)


def _refuse_unknown(table: Mapping[str, Any], known: typing.Collection[str], where: str) -> None:
    for key in table:
        if key not in known:
            near = nearest(key, known)
            remedy = f"write {where}{near} if that was meant" if near else f"known here are: {', '.join(sorted(known))}"
            raise UsageError(f"{where}{visible(key)} is no key of a plan", remedy=remedy)


def _document(plan: Plan) -> dict[str, Any]:
    """The plan as its file has it."""
    names = {0: "shadow", **{number: str(wave) for number, wave in enumerate(plan.waves, 1)}}
    return {
        "waves": [str(wave) for wave in plan.waves],
        "approve": [names[number] for number in plan.approve],
        "windows": list(plan.windows),
        "risk": plan.risk,
        **{name: _table(getattr(plan, name)) for name in ("shadow", "installed", "healthy", "behaves")},
    }


def _table(gate: msgspec.Struct | None) -> dict[str, Any] | bool:
    if gate is None:
        return False
    table: dict[str, Any] = {}
    for key, value in structs.asdict(gate).items():
        if isinstance(value, msgspec.Struct):
            table[key] = _table(value)
        else:
            table[key] = in_words(value) if key in _DURATIONS else value
    return table


def _nested(sections: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in sections.items():
        yield where + name, {key: value for key, value in section.items() if not isinstance(value, dict)}
        inner = {key: value for key, value in section.items() if isinstance(value, dict)}
        yield from _nested(inner, f"{where}{name}.")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
