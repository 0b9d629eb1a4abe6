"""A device that changes its labels at every message begins no series without end."""

from dataclasses import replace as with_settings
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_bridge.fleet import label_budget, record
from edge_bridge.fleet.conditions import Kind, Rule, conditions
from edge_bridge.fleet.label_budget import LabelBudget, spent, with_models
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState, Key
from edge_bridge.metrics.exposition import write
from edge_contract.messages import Availability, Info, ModelRef
from tests.bridge.publisher import MODEL, info, reported, telemetry

NOW = 1_800_000_000.0


def _fleet(label_changes: int, *devices: Device) -> FleetState:
    return FleetState(with_settings(LimitSettings(), label_changes=label_changes), MetricSettings(), devices)


def _inventory(agent: str) -> Info:
    return replace(info("cam", 5), agent=agent)


def _model(release: int) -> ModelRef:
    return ModelRef(name="emotion", release=release, digest=f"{release:064x}")


def _series(fleet: FleetState) -> set[str]:
    shown = write(list(fleet.devices.values()), fleet.sums, NOW, 1e9)
    return {line.rpartition(" ")[0] for line in shown.splitlines() if not line.startswith("#")}


def _come_up(fleet: FleetState) -> None:
    fleet.apply("cam", Availability(state="online", session=5), NOW)


@pytest.mark.parametrize("kind", ["info", "reported-active", "reported-target", "telemetry"])
def test_a_device_that_is_never_the_same_makes_no_more_series_than_its_limit(kind: str) -> None:
    fleet = _fleet(3)
    _come_up(fleet)
    seen: set[str] = set()
    for number in range(1, 200):
        message: Any
        match kind:
            case "info":
                message = _inventory(f"agent-{number}")
            case "reported-active":
                message = reported("cam", 5, active=_model(number), target=None)
            case "reported-target":
                message = reported("cam", 5, active=None, target=_model(number))
            case _:
                emotions = {f"{number}-{each}": 1 for each in range(20)}
                message = telemetry("cam", (5, number), number, model=_model(number), emotions=emotions)
        fleet.apply("cam", message, NOW)
        seen |= _series(fleet)
    changing = {each for each in seen if "agent-" in each or "emotion-" in each}
    models = {part for each in changing for part in each.split('"') if part.startswith(("agent-", "emotion-"))}
    assert len(models) == 3
    assert fleet.passed["labels"] == 199 - 3
    assert fleet.restless == ["cam"]


def test_what_was_accepted_last_stays_and_the_newest_follows_when_there_is_room() -> None:
    fleet = _fleet(2)
    _come_up(fleet)
    for number in (1, 2, 3):
        fleet.apply("cam", _inventory(f"agent-{number}"), NOW)
    fleet.apply("cam", reported("cam", 5, active=_model(8), target=_model(8)), NOW)
    device = fleet.devices["cam"]
    assert device.info is not None
    assert (device.info.agent, device.reported) == ("agent-2", None)
    assert [each.kind for each in conditions(device, NOW, Rule(60.0, 1.0))] == [Kind.RESTLESS]
    # Half an hour brings room for one change, and the next window of telemetry takes it.
    fleet.apply("cam", telemetry("cam", (5, 1), 1, model=None), NOW + 1801)
    device = fleet.devices["cam"]
    assert device.info is not None
    assert (device.info.agent, device.reported) == ("agent-3", None)
    fleet.apply("cam", telemetry("cam", (5, 2), 2, model=None), NOW + 3602)
    device = fleet.devices["cam"]
    assert device.active == _model(8)
    assert (device.waiting_info, device.waiting_reported) == (None, None)
    assert Kind.RESTLESS not in {each.kind for each in conditions(device, NOW + 2 * 3602, Rule(60.0, 1.0))}


def test_what_waited_of_an_earlier_run_of_the_agent_is_not_taken_in_later() -> None:
    fleet = _fleet(1)
    _come_up(fleet)
    fleet.apply("cam", _inventory("first"), NOW)
    fleet.apply("cam", _inventory("second"), NOW)
    fleet.apply("cam", Availability(state="online", session=6), NOW)
    fleet.apply("cam", telemetry("cam", (6, 1), 1, model=None), NOW + 3601)
    device = fleet.devices["cam"]
    assert device.info is not None
    assert (device.info.agent, device.waiting_info) == ("first", None)


def test_counts_of_a_model_past_the_limit_are_those_of_other_and_none_is_lost() -> None:
    fleet = _fleet(1)
    for number in range(1, 6):
        message = telemetry("cam", (5, number), 10 * number, model=_model(number))
        fleet.apply("cam", message, NOW)
    assert fleet.devices["cam"].emotions == {"emotion-1": {"happy": 10}, "other": {"happy": 40}}
    assert set(fleet.sums) == {Key("home", "emotion-1"), Key("home", "other")}
    assert fleet.devices["cam"].model == _model(1)


def test_an_update_with_its_rollback_is_one_change() -> None:
    fleet = _fleet(2)
    for active, target in ((MODEL, MODEL), (MODEL, _model(9)), (_model(9), _model(9)), (MODEL, _model(9))):
        fleet.apply("cam", reported("cam", 5, active=active, target=target), NOW)
    fleet.apply("cam", telemetry("cam", (5, 1), 1), NOW)
    assert fleet.passed["labels"] == 0


def test_neither_a_restart_of_the_bridge_nor_being_forgotten_fills_the_budget_again() -> None:
    fleet = _fleet(3)
    for number in range(1, 4):
        fleet.apply("cam", _inventory(f"agent-{number}"), NOW)
    stored = msgspec.json.decode(msgspec.json.encode(fleet.devices["cam"]), type=Device)
    fleet = _fleet(3, stored)
    fleet.apply("cam", _inventory("after-restart"), NOW)
    assert fleet.passed["labels"] == 1
    for number in range(50):  # a device may publish an empty availability of its own
        fleet.forget("cam")
        assert fleet.devices == {}
        fleet.apply("cam", _inventory(f"again-{number}"), NOW)
        assert fleet.devices["cam"].info is None
    assert fleet.passed["labels"] == 51


def test_a_device_that_has_itself_forgotten_gets_no_new_names_sites_or_groups() -> None:
    fleet = FleetState(LimitSettings(counters=4, emotions=3, sites=2, groups_per_device=2), MetricSettings())
    names: set[str] = set()
    for number in range(1, 30):
        message = telemetry(
            "cam",
            (5, number),
            number,
            site=f"site-{number}",
            counters={f"counter-{number}-{each}": 1 for each in range(3)},
            emotions={f"label-{number}-{each}": 1 for each in range(3)},
            gauges={f"gauge-{number}-{each}": 1.0 for each in range(3)},
        )
        fleet.apply("cam", message, NOW)
        device = fleet.devices["cam"]
        names |= {*device.counters, *device.emotions["emotion-2"], *device.readings, device.site}
        fleet.forget("cam")
    assert len(names - {"other"}) == 4 + 3 + 4 + 2
    assert len(fleet.sums) == 3
    assert fleet.sums.keys() >= {Key("other", "other")}


def test_what_is_remembered_of_forgotten_devices_is_bounded() -> None:
    fleet = FleetState(LimitSettings(devices=5), MetricSettings())
    for number in range(50):
        fleet.apply(f"cam-{number}", Availability(state="online", session=5), NOW)
        fleet.forget(f"cam-{number}")
    assert len(fleet._left) == 5


@given(
    limit=st.integers(1, 3600),
    steps=st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), max_size=60),
)
def test_whatever_the_clock_does_a_full_bucket_is_an_hours_worth_and_an_hour_fills_it(
    limit: int, steps: list[tuple[float, bool]]
) -> None:
    budget, now = LabelBudget(), NOW
    for moved, spends in steps:
        now = max(0.0, now + moved)
        if spends:
            budget = spent(budget, 1, now, limit) or budget
    taken = 0
    while (after := spent(budget, 1, now, limit)) is not None:
        budget, taken = after, taken + 1
    assert taken <= limit
    assert spent(budget, limit, now + label_budget.HOUR_S + 1, limit) is not None


def test_models_in_turn_are_free_only_while_a_record_counts_by_them() -> None:
    budget: LabelBudget | None = LabelBudget()
    for number in range(record.SESSIONS):
        assert budget is not None
        budget = with_models(budget, [str(number % label_budget.MODELS)], NOW, label_budget.MODELS)
    assert budget is not None
    assert with_models(budget, ["one more"], NOW, label_budget.MODELS) is None
