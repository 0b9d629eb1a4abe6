"""Every setting of every role, given anything: it is taken within its range, or refused in a sentence that names it."""

import dataclasses
import datetime
import math
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convert.settings import GateSettings, PackageSettings, QuantizeSettings, RetrainSettings
from edge_agent.settings import Settings
from edge_agent.settings_file import from_document
from edge_bridge.settings import BridgeSettings
from edge_contract.errors import UsageError
from edge_contract.rule_words import _bare
from edge_contract.settings_file import check
from edge_fleet.loop.settings import SECRETS as LOOP_SECRETS
from edge_fleet.loop.settings import LoopSettings
from edge_mqtt.address import PASSWORD
from edge_serve.settings import Settings as ServeSettings
from train.distill import DistillParams
from train.loop.settings import TrainParams
from train.params import section_from
from train.prepare import PrepareParams
from train.scoring.settings import EvaluateParams

Read = Callable[[dict[str, Any]], Any]


def of_params(kind: type[msgspec.Struct]) -> Read:
    return lambda document: section_from(document, "it", kind)


ROLES: dict[str, tuple[Any, Read]] = {
    "agent": (Settings, lambda document: from_document(document, Path("/nowhere/it"), {"HOME": "/nowhere"})),
    "bridge": (
        BridgeSettings,
        lambda document: check(
            document, BridgeSettings, name=Path("it"), base=Path("/nowhere"), environ={},
            secrets={"broker.password": PASSWORD},
        ),
    ),
    "loop": (
        LoopSettings,
        lambda document: check(
            {"model": "m", "group": "g", **document}, LoopSettings, name=Path("it"), base=Path("/nowhere"), environ={},
            secrets={key: secret for key, secret in LOOP_SECRETS.items() if "." in key},
        ),
    ),
    "serve": (
        ServeSettings,
        lambda document: check(document, ServeSettings, name=Path("it"), base=Path("/nowhere"), environ={}),
    ),
    **{
        kind.__name__: (kind, of_params(kind))
        for kind in (
            TrainParams, PrepareParams, EvaluateParams, DistillParams, QuantizeSettings, GateSettings, PackageSettings,
            RetrainSettings,
        )
    },
}  # fmt: skip


def leaves(kind: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        bare = _bare(hint)
        if dataclasses.is_dataclass(bare) or (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
            yield from leaves(bare, (*where, name))
        elif not name.startswith("__"):
            yield (*where, name)


EVERY = [(role, key) for role, (kind, _) in ROLES.items() for key in leaves(kind)]

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=3),
    st.sampled_from(["", " ", "\0", "a\0b", "a b", "A", "~nobody-of-this-name/x", "-1", "é", "a" * 70, "a" * 5000,
                     10**400, -(10**400), 2**63, -1, 0, math.nan, math.inf, -math.inf, 1e300, 1e-300, {}, {"x": 1}, [],
                     [[]], ["a b"], ["\0"], datetime.date(2026, 1, 1), datetime.time(1)]),
)  # fmt: skip


@pytest.mark.parametrize(("role", "key"), EVERY, ids=lambda value: value if isinstance(value, str) else ".".join(value))
@settings(max_examples=12)
@given(value=ANYTHING)
@example(value=math.nan)
@example(value=math.inf)
@example(value="\0")
@example(value="")
@example(value=-1)
@example(value=10**400)
@example(value=True)
def test_a_setting_is_within_its_range_or_refused_by_name(role: str, key: tuple[str, ...], value: Any) -> None:
    document = value
    for part in reversed(key):
        document = {part: document}
    refused: UsageError | None = None
    try:
        taken = ROLES[role][1](document)
    except UsageError as error:
        refused = error
    if refused is not None:
        assert key[-1] in str(refused)
        assert not re.search("regex|Expected|enum", str(refused))
        assert refused.remedy
        return
    for part in key:
        taken = getattr(taken, part)
    match taken:
        case float():
            assert math.isfinite(taken)
            assert abs(taken) < 1e12
        case bool():
            assert isinstance(value, bool)
        case int():
            assert abs(taken) <= 10**12
        case str() | Path():
            assert "\0" not in str(taken)


@pytest.mark.parametrize(("role", "key"), EVERY, ids=lambda value: value if isinstance(value, str) else ".".join(value))
def test_no_number_of_a_setting_is_without_bounds(role: str, key: tuple[str, ...]) -> None:
    """Both ends: a number that nothing bounds above is slept for, allocated or counted to."""
    hint: Any = ROLES[role][0]
    for part in key:
        hint = typing.get_type_hints(_bare(hint), include_extras=True)[part]
    if _bare(hint) not in (int, float):
        return
    metas = [
        meta
        for part in (hint, *typing.get_args(hint))  # one that may be absent stands in a union
        for meta in typing.get_args(part)
        if isinstance(meta, msgspec.Meta)
    ]
    assert any(meta.ge is not None or meta.gt is not None for meta in metas)
    assert any(meta.le is not None or meta.lt is not None for meta in metas)
