"""Sampling put together for one run: what an earlier one kept counts, and a consent that is over opens nothing."""

import time
from pathlib import Path

import pytest

from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.sampling import erasure
from edge_agent.sampling.box import Box
from edge_agent.sampling.collection import Collection, open_collection
from edge_agent.sampling.consent import mark, record
from edge_agent.sampling.sealing import Origin, sealed
from edge_agent.sampling.settings import ConsentSettings, SamplingSettings
from edge_contract.crop import CropName, key_id
from edge_contract.metrics import DeviceCounter
from tests.agent.agent_process import DEVICE
from tests.agent.sampling.field import CONSENT, KEY, pick, write_public_key

ORIGIN = Origin(DEVICE, "shop", 9)
AS_READ = ConsentSettings(by="Ada", given=1.0, until=4e9, purpose="to count smiles")
CAP = 24


def opened(folder: Path, consent: ConsentSettings = AS_READ) -> Collection | None:
    settings = SamplingSettings(
        key=write_public_key(folder), consent=consent, share=1.0, uncertain_share=0.0, disagreement_share=0.0,
        per_minute=600, per_hour=10_000, per_day=CAP,
    )  # fmt: skip
    link = Link(BrokerSettings(port=1), DEVICE, clean_start=False)
    return open_collection(settings, folder, link, ORIGIN, now=time.time, clock=time.monotonic)


def kept_before(folder: Path, ago: float) -> None:
    """An earlier run that kept as many as a day may have, so long ago."""
    box = Box(folder, 1 << 20, consent=mark(record(AS_READ)), key=key_id(KEY.public_key()))
    for number in range(1, CAP + 1):
        name = CropName(8, number)
        payload = sealed(pick(number), name, Origin(DEVICE, "shop", 8), CONSENT, KEY.public_key())
        box.put(name, "random", mark(record(AS_READ)), payload, time.time() - ago)
        box.remove(name)
    box.close()


@pytest.mark.parametrize(("hours", "full"), [(1.0, True), (25.0, False)])
def test_a_restart_gives_back_nothing_of_a_cap(hours: float, full: bool, tmp_path: Path) -> None:
    kept_before(tmp_path, hours * 3600)
    collection = opened(tmp_path)
    assert collection is not None
    collection.start()
    for track in range(40):
        collection.observer.looked(pick(track).shown, 0.0)
    collection.observer.only(frozenset())
    collection.stop(10)
    counters = collection.counters()
    assert (counters[DeviceCounter.CROPS_RANDOM] == 0) is full
    assert (counters[DeviceCounter.CROPS_CAPPED] == 40) is full


def test_a_consent_that_is_over_opens_nothing_and_deletes_what_there_was(tmp_path: Path) -> None:
    kept_before(tmp_path, 3600.0)
    over = ConsentSettings(by="Ada", given=1.0, until=2.0, purpose="to count smiles")
    assert opened(tmp_path, over) is None
    assert not list(tmp_path.glob(f"{erasure.NAME}*"))


def test_a_disk_that_refuses_the_file_leaves_the_agent_without_sampling_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / erasure.NAME).mkdir()
    assert opened(tmp_path) is None
    assert "crops.db cannot be opened" in caplog.text
