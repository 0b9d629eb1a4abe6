"""Cards of releases: one for each that is listed, marked when it is withdrawn, whatever else the broker holds."""

from pathlib import Path

from msgspec.structs import replace

from edge_contract import limits, topics
from edge_contract.manifest import ModelManifest, Reference
from edge_contract.messages import decode
from edge_contract.release_card import ReleaseCard
from edge_fleet.link import Arrived, Link
from edge_fleet.releases import cards
from edge_fleet.releases.publish import Publisher
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import ReleaseSide, tiny

FIRST, SECOND = tiny(1).manifest, tiny(2).manifest


class _Listed:
    """What `differing` reads of a release."""

    def __init__(self, manifest: ModelManifest) -> None:
        self.manifest = manifest


def _differing(held: dict[str, bytes], *listed: ModelManifest) -> list[Arrived]:
    return cards.differing([_Listed(one) for one in listed], [], held, 5.0)  # type: ignore[misc]


def test_a_card_is_the_manifest_without_its_goldens() -> None:
    ((topic, payload),) = _differing({}, FIRST)
    assert topic == topics.release_card(FIRST.digest)
    assert decode(payload, ReleaseCard) == ReleaseCard(manifest=replace(FIRST, goldens=()), time=5.0)
    assert FIRST.goldens


def test_what_the_broker_holds_already_is_not_published_again() -> None:
    ((topic, payload),) = _differing({}, FIRST)
    assert _differing({topic: payload}, FIRST) == []


def test_a_withdrawn_release_keeps_its_card_which_says_so_until_it_is_listed_again() -> None:
    ((topic, payload),) = _differing({}, FIRST)
    ((same, gone),) = _differing({topic: payload}, SECOND)[1:]
    assert (same, decode(gone, ReleaseCard).withdrawn) == (topic, True)
    assert _differing({topic: gone}) == []
    ((_, back),) = _differing({topic: gone}, FIRST)
    assert not decode(back, ReleaseCard).withdrawn


def test_what_is_no_card_is_replaced_or_cleared() -> None:
    listed, other = topics.release_card(FIRST.digest), topics.release_card("ab" * 32)
    found = dict(_differing({listed: b"\xff{", other: b"{}"}, FIRST))
    assert found[other] == b""
    assert decode(found[listed], ReleaseCard).manifest.digest == FIRST.digest


def test_a_release_of_very_many_labels_has_a_card_too() -> None:
    labels = tuple(f"{number:064}" for number in range(limits.LABELS))
    wide = replace(FIRST, labels=labels, reference=Reference(by_label=dict.fromkeys(labels, (9,) * 10)))
    ((_, payload),) = _differing({}, wide)
    assert decode(payload, ReleaseCard).manifest.labels == labels


def test_a_release_whose_file_is_damaged_is_not_shown_as_withdrawn() -> None:
    ((topic, payload),) = _differing({}, FIRST)
    assert cards.differing([], [FIRST.digest], {topic: payload}, 5.0) == []


def test_publishing_brings_cards_and_withdrawing_marks_them(tmp_path: Path, broker: Broker) -> None:
    side = ReleaseSide(tmp_path, broker.port)
    side.push(tiny(1), "group/lab")
    with Link(BrokerAddress(port=broker.port)) as link:
        publisher = Publisher(side.releases, side.desired, link)
        publisher.heal()
        assert link.retained(cards.FILTER).keys() == {topics.release_card(FIRST.digest)}
        side.releases.withdraw(FIRST.name, FIRST.release)
        publisher.metadata()
        (payload,) = link.retained(cards.FILTER).values()
        assert decode(payload, ReleaseCard).withdrawn
        assert publisher.metadata() == 0
