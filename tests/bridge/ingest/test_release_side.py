"""What the release side says for people: kept as it is said, within bounds, and unharmed by what cannot be."""

import pytest
from prometheus_client import CollectorRegistry

from edge_bridge.fleet import announced
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.ingest.commit import Clock, Commits
from edge_bridge.ingest.intake import Intake
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.link import Arrival
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.store import Store
from edge_contract import limits, messages, topics
from edge_contract.loop_status import LoopStatus
from edge_contract.messages import Message, ModelRef
from tests.bridge.publisher import MODEL, reported
from tests.bridge.release_side import card, status


class _Door:
    """An intake, and what it refused so far."""

    def __init__(self) -> None:
        self.fleet, self.metrics = FleetState(LimitSettings(), MetricSettings()), BridgeMetrics(CollectorRegistry())
        clock = Clock(lambda: 1.0, lambda: 1.0)
        store = Store("sqlite://")
        commits = Commits(
            self.fleet,
            store,
            metrics=self.metrics,
            settings=LogSettings(),
            clock=clock,
            acknowledge=lambda _: None,
            progress={},
        )
        self._intake = Intake(self.fleet, commits, metrics=self.metrics, clock=clock)

    def says(self, topic: str, message: Message | bytes) -> None:
        payload = message if isinstance(message, bytes) else messages.encode(message)
        self._intake.take_in([Arrival(topic, payload)])

    def refused(self, reason: str) -> float:
        found = self.metrics.registry.get_sample_value("edgewise_bridge_messages_refused_total", {"reason": reason})
        return found or 0.0


def _model(number: int) -> ModelRef:
    return ModelRef(name="emotion", release=number + 1, digest=f"{number:064x}")


def test_groups_and_releases_are_kept_as_they_were_said_last_and_forgotten_when_cleared() -> None:
    door = _Door()
    door.says(topics.group_status("shops"), status(desired=None))
    door.says(topics.group_status("shops"), status())
    door.says(topics.release_card(MODEL.digest), card(withdrawn=True))
    assert door.fleet.groups == {"shops": status()}
    assert door.fleet.cards == {MODEL.digest: card(withdrawn=True)}
    door.says(topics.group_status("shops"), b"")
    door.says(topics.release_card(MODEL.digest), b"")
    assert (door.fleet.groups, door.fleet.cards) == ({}, {})


def test_how_a_loop_stands_is_kept_as_it_was_said_last_within_bounds_and_forgotten_when_cleared() -> None:
    door = _Door()
    door.says(topics.loop_status("emotion"), LoopStatus(model="emotion", time=1.0))
    door.says(topics.loop_status("emotion"), LoopStatus(model="emotion", paused="maria", time=2.0))
    assert door.fleet.loops == {"emotion": LoopStatus(model="emotion", paused="maria", time=2.0)}
    for payload in (b"{", b"[" * 100_000, b" " * (limits.MESSAGE_BYTES + 1), LoopStatus(model="age", time=1.0)):
        door.says(topics.loop_status("emotion"), payload)
    assert (door.refused("malformed"), door.refused("size"), door.refused("name-mismatch")) == (2, 1, 1)
    for number in range(announced.LOOPS + 1):
        door.says(topics.loop_status(f"m{number}"), LoopStatus(model=f"m{number}", time=1.0))
    assert (len(door.fleet.loops), door.refused("loop-limit")) == (announced.LOOPS, 2)
    door.says(topics.loop_status("emotion"), b"")
    assert "emotion" not in door.fleet.loops


@pytest.mark.parametrize(
    ("reason", "topic", "payload"),
    [
        ("malformed", topics.group_status("shops"), b"{"),
        ("malformed", topics.group_status("shops"), messages.encode(card())),
        ("malformed", topics.release_card(MODEL.digest), b'{"manifest":{},"time":1.0}'),
        ("malformed", topics.release_card(MODEL.digest), b"[" * 100_000),
        ("size", topics.release_card(MODEL.digest), b" " * (limits.MESSAGE_BYTES + 1)),
        ("size", topics.group_status("shops"), b" " * (limits.MESSAGE_BYTES + 1)),
        ("name-mismatch", topics.group_status("shops"), messages.encode(status("other"))),
        ("name-mismatch", topics.release_card("cd" * 32), messages.encode(card())),
        ("topic", "edgewise/v1/group/shops/desired", messages.encode(status())),
        ("topic", "edgewise/v1/release/ABC", messages.encode(card())),
    ],
)
def test_what_cannot_be_is_counted_by_reason_and_changes_nothing(reason: str, topic: str, payload: bytes) -> None:
    door = _Door()
    door.says(topics.group_status("shops"), status())
    door.says(topics.release_card(MODEL.digest), card())
    door.says(topic, payload)
    assert door.refused(reason) == 1
    assert (door.fleet.groups, door.fleet.cards) == ({"shops": status()}, {MODEL.digest: card()})


def test_groups_past_the_bound_are_refused_and_those_that_are_kept_go_on() -> None:
    door = _Door()
    for number in range(announced.GROUPS + 2):
        door.says(topics.group_status(f"g{number}"), status(f"g{number}"))
    assert (len(door.fleet.groups), door.refused("group-limit")) == (announced.GROUPS, 2)
    door.says(topics.group_status("g0"), status("g0", None))
    assert door.fleet.groups["g0"].desired is None


def test_of_too_many_releases_the_oldest_that_nothing_names_goes() -> None:
    door = _Door()
    door.says(topics.device("cam", "reported"), reported("cam", 5, active=_model(0), target=_model(1)))
    door.says(topics.group_status("shops"), status(desired=_model(2)))
    for number in range(announced.CARDS + 1):
        door.says(topics.release_card(_model(number).digest), card(_model(number), time=float(number)))
    kept = {each.manifest.release - 1 for each in door.fleet.cards.values()}
    assert set(range(announced.CARDS + 1)) - kept == {3}
    assert door.refused("card-limit") == 0
