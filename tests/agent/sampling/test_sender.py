"""From a picked face to where labels are collected, over a real mosquitto: nothing lost, and nothing after the consent.

The waits for an answer are shortened; all else is as on a device.
"""

import sqlite3
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_agent.sampling import erasure, window
from edge_agent.sampling.settings import NO_CONSENT, ConsentSettings
from edge_contract import topics
from edge_contract.crop import CropName
from edge_contract.metrics import DeviceCounter
from edge_simulator.broker import Broker
from tests.agent.agent_process import DEVICE
from tests.agent.sampling.field import CONSENT, KEY, Labels, SamplingDevice, nowhere_in, pick
from tests.eventually import eventually


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "RESEND_S", 0.4)
    monkeypatch.setattr(window, "LONGEST_RESEND_S", 1.0)


def test_every_crop_arrives_whole_and_leaves_the_device_when_it_is_answered(broker: Broker, tmp_path: Path) -> None:
    labels, device = Labels(broker.port), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    sent = [pick(number, stratum) for number in range(15) for stratum in ("random", "uncertain")]
    for each in sent:
        device.sender.send(each)
    eventually(lambda: len(labels.crops) == 30 and device.rows == 0)
    counters = device.sender.counters()
    device.stop()
    labels.link.stop()
    assert [labels.crops[CropName(1, number + 1)].pixels for number in range(30)] == [
        each.shown.pixels.tobytes() for each in sent
    ]
    header = labels.crops[CropName(1, 2)].header
    assert (header.stratum, header.inclusion, header.consent) == ("uncertain", 0.25, CONSENT)
    assert (header.champion.model, header.challenger) == (sent[1].shown.answer.manifest.ref, None)
    assert (header.width, header.height, header.channels) == (48, 48, 1)
    assert counters == {"crops_random": 15, "crops_uncertain": 15, "crops_disagreement": 0, "crops_dropped": 0}


def test_no_pixel_is_in_a_file_or_a_message(broker: Broker, tmp_path: Path) -> None:
    """Eight pixels of each row of each crop, searched for in every file, the broker's too, and on the wire."""
    labels, device = Labels(broker.port, answers=False), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    sent = [pick(number) for number in range(6)]
    needles = [row.tobytes()[start : start + 8] for each in sent for row in each.shown.pixels[0] for start in (0, 20)]
    for each in sent:
        device.sender.send(each)
    eventually(lambda: len(labels.payloads) >= 6)
    device.stop()
    broker.stop()
    assert not nowhere_in(needles, tmp_path)()
    assert not [payload for payload in labels.payloads if any(needle in payload for needle in needles)]
    (tmp_path / "planted").write_bytes(b"x" * 100 + sent[3].shown.pixels.tobytes())
    assert nowhere_in(needles, tmp_path)() == str(tmp_path / "planted")  # the search finds what is there
    labels.link.stop()


def test_what_is_not_answered_is_kept_and_sent_again_and_a_restart_goes_on(broker: Broker, tmp_path: Path) -> None:
    labels, device = Labels(broker.port, answers=False), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    for number in range(5):
        device.sender.send(pick(number))
    eventually(lambda: len(labels.payloads) > 5)  # some twice
    assert device.rows == 5
    device.stop()
    labels.answers = True
    again = SamplingDevice(tmp_path, broker.port, session=2)
    again.link.start()
    again.sender.send(pick(5))
    eventually(lambda: again.rows == 0)
    again.stop()
    labels.link.stop()
    assert sorted(labels.crops) == [*(CropName(1, number) for number in range(1, 6)), CropName(2, 1)]


def test_a_broker_that_is_killed_loses_no_crop(broker: Broker, tmp_path: Path) -> None:
    labels, device = Labels(broker.port), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    for number in range(40):
        device.sender.send(pick(number))
        if number in {10, 25}:
            broker.kill()
            broker.start()
    eventually(lambda: len(labels.crops) == 40 and device.rows == 0)
    device.stop()
    labels.link.stop()
    assert device.counted(DeviceCounter.CROPS_DROPPED) == 0


def test_an_answer_for_one_crop_deletes_no_other(broker: Broker, tmp_path: Path) -> None:
    """A broker may lose crop 1 and deliver crop 2; an answer for 2 says nothing of 1."""
    labels, device = Labels(broker.port, answers=False), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    for number in range(3):
        device.sender.send(pick(number))
    eventually(lambda: len(labels.crops) == 3)
    topic = topics.device(DEVICE, "crop-ack")
    for answer in (b'{"session":1,"sequence":3}', b'{"session":9,"sequence":1}', b'{"session":1}', b"", b"\xff"):
        labels.link.publish(topic, answer)
    eventually(lambda: device.rows == 2)
    held = [row.name.sequence for row in device.sender._box.waiting(frozenset(), 9)]
    device.stop()
    labels.link.stop()
    assert held == [1, 2]


@pytest.mark.parametrize("how", ["by a reason", "by another key"])
def test_crops_that_are_refused_are_dropped_counted_and_said_once(
    how: str, broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reason, key = ("no room\x1b[2J", KEY) if how == "by a reason" else ("", X25519PrivateKey.generate())
    labels, device = Labels(broker.port, reason=reason, key=key), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    for number in range(4):
        device.sender.send(pick(number))
    eventually(lambda: device.counted(DeviceCounter.CROPS_DROPPED) == 4 and device.rows == 0)
    device.stop()
    labels.link.stop()
    said = [record.getMessage() for record in caplog.records if "are refused" in record.getMessage()]
    assert len(said) == 1
    assert "\x1b" not in said[0]


def test_a_consent_that_expires_stops_at_once_and_leaves_no_crop(broker: Broker, tmp_path: Path) -> None:
    device = SamplingDevice(tmp_path, broker.port)  # its link is never started: all of them wait
    for number in range(5):
        device.sender.send(pick(number))
    eventually(lambda: device.rows == 5)
    device.now = lambda: CONSENT.until
    device.sender.send(pick(6))
    eventually(lambda: not list(device.folder.iterdir()))
    device.now = time.time  # a clock that was set back brings nothing back
    device.sender.send(pick(7))
    labels = Labels(broker.port)
    device.link.start()
    eventually(lambda: device.link.connected)
    time.sleep(0.5)
    device.stop()
    labels.link.stop()
    assert not list(device.folder.iterdir())
    assert labels.payloads == []
    assert device.counted(DeviceCounter.CROPS_RANDOM) == 5
    assert device.counted(DeviceCounter.CROPS_DROPPED) >= 5
    assert device.sender.trouble == ""


def test_a_withdrawal_deletes_what_waits_before_more_is_sent(broker: Broker, tmp_path: Path) -> None:
    labels, device = Labels(broker.port, answers=False), SamplingDevice(tmp_path, broker.port)
    device.link.start()
    for number in range(20):
        device.sender.send(pick(number))
    eventually(lambda: len(labels.payloads) >= window.SIZE)
    device.permission.reloaded(NO_CONSENT)
    eventually(lambda: not list(device.folder.iterdir()))
    before = len(labels.payloads)
    time.sleep(1.5)  # more than a resend
    device.stop()
    labels.link.stop()
    assert len(labels.crops) < 20
    assert len(labels.payloads) <= before + window.SIZE  # what the broker had by then


def test_while_the_settings_cannot_be_read_nothing_is_kept_or_sent_and_nothing_is_lost(
    broker: Broker, tmp_path: Path
) -> None:
    labels, device = Labels(broker.port), SamplingDevice(tmp_path, broker.port)
    device.sender.send(pick(1))
    eventually(lambda: device.rows == 1)
    device.permission.reloaded(None)
    device.sender.send(pick(2))
    device.link.start()
    eventually(lambda: device.counted(DeviceCounter.CROPS_DROPPED) == 1)
    time.sleep(0.5)
    assert (labels.payloads, device.rows) == ([], 1)
    device.permission.reloaded(
        ConsentSettings(by=CONSENT.by, given=CONSENT.given, until=CONSENT.until, purpose=CONSENT.purpose)
    )
    eventually(lambda: device.rows == 0)
    device.stop()
    labels.link.stop()
    assert [crop.header.track for crop in labels.crops.values()] == [1]


def test_a_disk_that_is_full_loses_crops_that_are_counted_and_goes_on_when_there_is_room(
    broker: Broker, tmp_path: Path
) -> None:
    device = SamplingDevice(tmp_path, broker.port)
    database = device.sender._box._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite then says what a full disk makes it say
    for number in range(3):
        device.sender.send(pick(number))
    eventually(lambda: device.counted(DeviceCounter.CROPS_DROPPED) >= 1)
    # It says so until the file is opened anew, without that limit.
    eventually(lambda: "check the disk" in device.sender.trouble or device.sender._box._database is not database)
    eventually(lambda: device.sender._box._database is not database)
    for number in range(3, 6):
        device.sender.send(pick(number))
    eventually(lambda: device.counted(DeviceCounter.CROPS_RANDOM) >= 3)
    eventually(lambda: device.sender.trouble == "")
    device.stop()


def test_a_database_that_breaks_while_it_is_used_is_put_aside_and_a_new_one_begun(
    broker: Broker, tmp_path: Path
) -> None:
    device = SamplingDevice(tmp_path, broker.port)
    device.sender.send(pick(1))
    eventually(lambda: device.rows == 1)
    device.sender._box._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = device.folder / erasure.NAME
    file.write_bytes(b"\xff" * file.stat().st_size)
    device.sender._box._database.execute("PRAGMA shrink_memory")  # or it would go on with what it has read
    device.sender.send(pick(2))
    eventually((device.folder / erasure.DAMAGED).exists)
    device.sender.send(pick(3))
    eventually(lambda: device.rows == 1)
    device.stop()
    assert device.counted(DeviceCounter.CROPS_DROPPED) == 2
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(device.folder / erasure.DAMAGED).execute("SELECT count(*) FROM crop")


def test_a_disk_that_does_not_let_go_is_asked_again_until_all_is_deleted(broker: Broker, tmp_path: Path) -> None:
    device = SamplingDevice(tmp_path, broker.port)
    device.sender.send(pick(1))
    eventually(lambda: device.rows == 1)
    (device.folder / erasure.DAMAGED / "in the way").mkdir(parents=True)  # a folder of that name cannot be unlinked
    device.permission.reloaded(NO_CONSENT)
    eventually(lambda: "check the disk" in device.sender.trouble)
    assert not (device.folder / erasure.NAME).exists()
    (device.folder / erasure.DAMAGED / "in the way").rmdir()
    (device.folder / erasure.DAMAGED).rmdir()
    eventually(lambda: device.sender._erased)
    device.stop()
    assert device.sender.trouble == ""
    assert device.counted(DeviceCounter.CROPS_DROPPED) == 1
