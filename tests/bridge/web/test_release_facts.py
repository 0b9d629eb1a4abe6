"""Two releases side by side, and a rollout's page, over records: each share with its interval, gaps as gaps."""

from typing import Any

import pytest
from scipy.stats import norm

from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_bridge.intervals import difference, wilson
from edge_bridge.labels.accuracy import Accuracy
from edge_bridge.web.dashboard import device_facts, release_facts, rollout_facts
from edge_contract.group_status import Behind, GroupStatus
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS
from tests.bridge.publisher import MODEL, histogram, info, reported
from tests.bridge.small_fleet import CANARY
from tests.bridge.web import showcase

NOW = 1_800_000_000.0


def test_wilsons_interval_is_where_the_score_test_no_longer_rejects() -> None:
    found = wilson(7, 20)
    assert found is not None
    for bound in (found.low, found.high):
        z = abs(7 / 20 - bound) / (bound * (1 - bound) / 20) ** 0.5
        assert 2 * norm.sf(z) == pytest.approx(0.05)
    assert wilson(0, 0) is None
    assert wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10: 56/70 against 48/80.
    found = difference(wilson(48, 80), wilson(56, 70))
    assert found is not None
    assert tuple(found) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert difference(None, wilson(1, 2)) is None


def _sums(**answers: int) -> Sum:
    tracks = {label: histogram(len(CONFIDENCE_BOUNDS), 8, count, 0.85) for label, count in answers.items()}
    return Sum(stages={"whole": histogram(len(STAGE_BOUNDS), 6, 50)}, tracks=tracks)


def _sides() -> tuple[release_facts.Side, release_facts.Side]:
    sums = {
        Key("home", "emotion-2"): _sums(happy=60, sad=40), Key("shop", "emotion-2"): _sums(happy=20),
        Key("home", "emotion-3"): _sums(happy=10),
    }  # fmt: skip
    devices = [Device(id="a", model=MODEL), Device(id="b", model=MODEL), Device(id="c", model=CANARY)]
    cards = showcase.cards(NOW)
    return (
        release_facts.side("emotion-2", cards, sums, devices),
        release_facts.side("emotion-3", cards, sums, devices),
    )


def test_labelled_accuracy_has_a_line_where_a_label_speaks_of_one_of_them() -> None:
    a, b = _sides()
    assert not [row for row in release_facts.rows(a, b) if "labelled" in row[0]]
    labelled = a._replace(labelled=Accuracy(0.75, 0.61, 0.85, 60, 41.5))
    (row,) = [row for row in release_facts.rows(labelled, b) if "labelled" in row[0]]
    assert row[1:] == ("75.00% [61.00%, 85.00%], n = 60", "\N{EN DASH}", "\N{EN DASH}")


def test_what_the_fleet_counted_of_a_release_is_added_up_over_its_sites() -> None:
    a, b = _sides()
    assert (a.devices, a.answers, b.devices, b.answers) == (2, {"happy": 80, "sad": 40}, 1, {"happy": 10})
    rows = {row[0]: row[1:] for row in release_facts.rows(a, b)}
    assert rows["Mean confidence of a face"][0] == "85.0%, 120 faces"
    assert rows["Accuracy, test pictures"][2].startswith("+2.4 points [+0.3")
    mix = {row[0]: row[1:] for row in release_facts.mix(a, b)}
    assert mix["happy"][0] == "66.7% [57.8%, 74.5%]"
    assert mix["sad"][1].startswith("0.0% [0.0%, 27.8%")


def test_what_is_not_known_is_a_gap_and_no_number() -> None:
    nothing = release_facts.side("emotion-9", [], {}, [])
    assert all(value in {"–", "0"} for row in release_facts.rows(nothing, nothing) for value in row[1:])  # noqa: RUF001
    assert release_facts.mix(nothing, nothing) == []


def test_scores_on_other_pictures_are_not_subtracted() -> None:
    a, b = _sides()
    assert b.card is not None
    accuracy = b.card.manifest.accuracy
    assert accuracy is not None
    import msgspec  # noqa: PLC0415  # of this test alone

    other = msgspec.structs.replace(accuracy.int8, split="private test")
    manifest = msgspec.structs.replace(b.card.manifest, accuracy=msgspec.structs.replace(accuracy, int8=other))
    b = b._replace(card=msgspec.structs.replace(b.card, manifest=manifest))
    assert {row[0]: row[3] for row in release_facts.rows(a, b)}["Accuracy, test pictures"] == "–"  # noqa: RUF001


def test_releases_that_were_compared_in_shadow_are_paired_either_way_round() -> None:
    groups = {"all": showcase.rolling(NOW), "lab": showcase.halted(NOW)}
    for one, other in (("emotion-2", "emotion-3"), ("emotion-3", "emotion-2")):
        pair = release_facts.paired(one, other, groups)
        assert pair is not None
        assert (pair.old, pair.new, pair.groups) == ("emotion-2", "emotion-3", ("all",))
    assert release_facts.paired("emotion-2", "emotion-9", groups) is None
    rows = release_facts.disagreements(pair.shadow)
    assert len(rows) == release_facts.DIFFERENCES
    assert all(row[0] != row[1] for row in rows)


def test_a_release_is_found_by_its_name_and_by_its_digest() -> None:
    cards = {each.manifest.digest: each for each in showcase.cards(NOW)}
    names = release_facts.known(cards.values(), [Key("home", "emotion-10"), Key("other", "other")], [])
    assert names == ["emotion-10", "emotion-3", "emotion-2"]
    assert release_facts.chosen(CANARY.digest, names, cards) == "emotion-3"
    assert release_facts.chosen("emotion-2", names, cards) == "emotion-2"
    assert release_facts.chosen("<script>", names, cards) == ""


def test_a_rollout_that_nobody_conducts_is_said() -> None:
    status = showcase.rolling(NOW)
    assert rollout_facts.stale(status, NOW + 60) == ""
    assert "fleet serve" in rollout_facts.stale(status, NOW + 600)
    assert rollout_facts.stale(showcase.halted(NOW), NOW + 600) == ""


def test_rollouts_are_listed_with_what_needs_a_person_first() -> None:
    idle = GroupStatus(group="idle", desired=MODEL, time=NOW)
    groups = {"idle": idle, "all": showcase.rolling(NOW), "lab": showcase.halted(NOW)}
    lines = rollout_facts.lines(groups, NOW)
    assert [(each.group, each.phase, each.place) for each in lines] == [
        ("lab", "halted", "–"), ("all", "wave", "wave 2, 50 %"), ("idle", "", "–"),  # noqa: RUF001
    ]  # fmt: skip


def _why(groups: dict[str, GroupStatus] | None = None, **changed: Any) -> str:
    device = Device(id="hall", info=info("hall", 5), model=MODEL, reported=reported("hall", 5, **changed))
    return device_facts.why(device, groups or {})


def test_why_a_device_runs_what_it_runs() -> None:
    assert _why({"all": showcase.rolling(NOW)}) == (
        "Group all, offline: it is offline and takes emotion-3 up when it is back."
    )
    assert _why() == "It runs emotion-2."
    assert _why({"all": GroupStatus(group="all", desired=MODEL, time=NOW)}) == "It runs emotion-2, as group all is to."
    assert _why({"all": GroupStatus(group="all", desired=CANARY, time=NOW)}) == (
        "It runs emotion-2, and group all is to run emotion-3."
    )
    assert _why(target=CANARY, state="downloading", progress=0.43) == (
        "It runs emotion-2 and takes up emotion-3: downloading (43% held)."
    )
    assert _why(target=CANARY, state="rejected", reason="too slow.") == (
        "It runs emotion-2; emotion-3 was rejected: too slow."
    )
    elsewhere = Behind(device="yard", kind="failed", why="x")
    assert _why({"all": GroupStatus(group="all", desired=None, behind=(elsewhere,), time=NOW)}) == "It runs emotion-2."
