"""Simulated devices on a real broker: the update machine is the agent's, so is every signature and every chunk."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.models.selftest import Verdict
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import topics
from edge_contract.messages import Telemetry, decode
from edge_contract.scope import Scope
from edge_contract.wave import ShadowTerms, Wave
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Arrived, Link
from edge_mqtt.address import BrokerAddress
from edge_simulator import mix
from edge_simulator.broker import Broker
from edge_simulator.device import SimulatedDevice, Site
from edge_simulator.faces import parse_behaviour
from edge_simulator.fleet import SimulatedFleet
from edge_simulator.mix import Trouble, sites
from tests.agent.update.update_bench import ReleaseSide, tiny
from tests.eventually import eventually

GROUP = "shop"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def release_side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port)


def fleet_of(
    chosen: list[Site], tmp_path: Path, broker: Broker, release_side: ReleaseSide, **further: object
) -> SimulatedFleet:
    root = (release_side.directory / "metadata" / "1.root.json").read_bytes()
    return SimulatedFleet(chosen, tmp_path / "devices", broker=BrokerSettings(port=broker.port), root=root, **further)  # type: ignore[arg-type]


def ended(fleet: SimulatedFleet, digest: str, count: int) -> bool:
    return fleet.wait_for(lambda: fleet.running(digest) == count, PATIENCE_S)


def test_a_push_reaches_all_whatever_is_lost_slow_killed_or_away(
    tmp_path: Path, broker: Broker, release_side: ReleaseSide
) -> None:
    trouble = Trouble(loss=0.05, slow=0.3, kills=0.4, offline=0.3)
    chosen = sites(6, GROUP, prefix="push", trouble=trouble, seed=4)
    assert {True, False} == {site.away for site in chosen} == {site.killed for site in chosen}
    with fleet_of(chosen, tmp_path, broker, release_side) as fleet:
        fleet.start()
        release_side.push(tiny(1))
        digest = tiny(1).manifest.digest
        assert ended(fleet, digest, sum(not site.away for site in chosen))
        fleet.start_away()
        assert ended(fleet, digest, len(chosen))


def test_what_it_says_is_what_a_device_says(tmp_path: Path, broker: Broker, release_side: ReleaseSide) -> None:
    (site,) = sites(1, GROUP, prefix="says", seed=1)
    with fleet_of([site], tmp_path, broker, release_side) as fleet, Link(BrokerAddress(port=broker.port)) as link:
        fleet.start()
        (device,) = fleet.devices
        eventually(lambda: device.connected and site.id in read_fleet(link).devices, "online")
        seen = read_fleet(link).devices[site.id]
        assert seen.online
        assert seen.info is not None
        assert (seen.info.board, seen.info.runtime, seen.info.camera_kind) == (
            site.board,
            site.runtime,
            site.camera_kind,
        )
        device.cut()
        eventually(lambda: not read_fleet(link).devices[site.id].online, "the broker publishes the last will")
        device.start()
        eventually(lambda: read_fleet(link).devices[site.id].online, "it comes back as a newer session")


def test_a_model_in_shadow_is_compared_on_drawn_faces_and_how_it_behaves_is_seen(
    tmp_path: Path, broker: Broker, release_side: ReleaseSide
) -> None:
    champion, challenger = tiny(1).manifest, tiny(2).manifest
    chosen = sites(2, GROUP, prefix="shadow", faces=50, interval=0.5, seed=1)
    behaviours = {challenger.digest[:12]: parse_behaviour("says:neutral:0.5")}
    windows: list[Telemetry] = []

    def keep(arrived: Arrived) -> None:
        windows.append(decode(arrived.payload, Telemetry))

    with (
        fleet_of(chosen, tmp_path, broker, release_side, behaviours=behaviours) as fleet,
        Link(BrokerAddress(port=broker.port)) as link,
    ):
        fleet.start()
        release_side.push(tiny(1))
        assert ended(fleet, champion.digest, 2)
        release_side.releases.add(tiny(2))
        link.subscribe(topics.all_devices("telemetry"), keep)
        wave = Wave(
            model=challenger.ref, mode="shadow", share=1.0, salt=challenger.digest, shadow=ShadowTerms(spacing=0.0)
        )
        with release_side.publisher() as publisher:
            publisher.metadata()
            publisher.release(release_side.releases.find(challenger.name, challenger.release))
            publisher.states([release_side.desired.issue(str(Scope("group", GROUP)), champion.ref, wave=wave)])
        counted = lambda: [w.shadow for w in windows if w.shadow is not None and w.shadow.looks > 100]  # noqa: E731
        eventually(lambda: len(counted()) > 1, "more than a hundred looks")
    shadow = counted()[-1]
    assert (shadow.champion, shadow.challenger) == (champion.ref, challenger.ref)
    assert shadow.agreed < 0.75 * shadow.looks
    assert 0 < sum(shadow.contradicted.values()) < sum(shadow.sure.values()) < shadow.looks
    said = sum(row.get("neutral", 0) for row in shadow.confusion.values())
    assert said > sum(shadow.confusion.get("neutral", {}).values())
    assert all(window.emotions for window in windows)


def test_a_self_test_that_refuses_is_reported_and_the_model_before_runs_on(
    tmp_path: Path, broker: Broker, release_side: ReleaseSide
) -> None:
    refused = tiny(2).manifest

    def verdict(slot: Path) -> Verdict:
        bad = refused.digest in (slot / "manifest.json").read_text()
        return Verdict(passed=not bad, reason="drawn to refuse." if bad else "")

    chosen = sites(3, GROUP, prefix="refuse", seed=1)
    with fleet_of(chosen, tmp_path, broker, release_side, verdict=verdict) as fleet:
        fleet.start()
        release_side.push(tiny(1))
        assert ended(fleet, tiny(1).manifest.digest, 3)
        release_side.push(tiny(2))
        assert fleet.wait_for(lambda: fleet.states()["rejected"] == 3, PATIENCE_S)
        assert all("drawn to refuse" in reported.reason for _, reported in fleet.reports())
        assert all(r.active is not None and r.active.digest == tiny(1).manifest.digest for _, r in fleet.reports())


def test_the_same_seed_draws_the_same_fleet_and_processes_share_it() -> None:
    trouble = Trouble(offline=0.3, slow=0.3, kills=0.3)
    whole = sites(40, GROUP, trouble=trouble, seed=7)
    assert whole == sites(40, GROUP, trouble=trouble, seed=7) != sites(40, GROUP, trouble=trouble, seed=8)
    assert whole == sites(15, GROUP, trouble=trouble, seed=7) + sites(25, GROUP, first=15, trouble=trouble, seed=7)


def test_a_mix_is_that_of_the_devices_that_reported(tmp_path: Path, broker: Broker, release_side: ReleaseSide) -> None:
    chosen = sites(12, GROUP, prefix="like", trouble=Trouble(offline=0.4), seed=2)
    with fleet_of(chosen, tmp_path, broker, release_side) as fleet, Link(BrokerAddress(port=broker.port)) as link:
        for device in fleet.devices:
            device.start()
        eventually(lambda: fleet.connected == 12, "all connected")
        away = [device for device in fleet.devices if device.site.away]
        for device in away:
            device.cut()

        def seen() -> list[mix.Sort]:
            known = read_fleet(link).devices
            return list(mix.mix_of(each for name, each in known.items() if name.startswith("like-")))

        eventually(lambda: round(sum(s.weight * (1 - s.reachable) for s in seen())) == len(away), "the wills arrived")
        assert {(sort.board, sort.runtime) for sort in seen()} == {(site.board, site.runtime) for site in chosen}
        assert sum(sort.weight for sort in seen()) == 12


def test_a_device_that_is_started_twice_or_stopped_twice_is_one_device(
    tmp_path: Path, broker: Broker, release_side: ReleaseSide
) -> None:
    with fleet_of(sites(1, GROUP, prefix="twice"), tmp_path, broker, release_side) as fleet:
        device: SimulatedDevice = fleet.devices[0]
        for act in random.Random(1).choices((device.start, device.stop, device.cut), k=8):  # noqa: S311
            act()
        device.start()
        eventually(lambda: device.connected, "connected")
