"""`crops.db`: what is kept until it is answered, what goes first, and what damage and withdrawn consent leave."""

import itertools
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.sampling import erasure
from edge_agent.sampling.box import Box
from edge_agent.sampling.sealing import Origin, sealed
from edge_contract.crop import CropName, Stratum, key_id, name_of, sealed_to, unseal
from tests.agent.agent_process import DEVICE
from tests.agent.sampling.field import CONSENT, KEY, pick

ORIGIN = Origin(DEVICE, "shop", 5)
KEY_ID = key_id(KEY.public_key())
LARGE = 1 << 20


def opened(folder: Path, largest: int = LARGE, consent: str = "ada", key: bytes = KEY_ID) -> Box:
    return Box(folder, largest, consent=consent, key=key)


def put(box: Box, number: int, stratum: Stratum = "random", *, consent: str = "ada", at: float = 1000.0) -> bytes:
    name = CropName(5, number)
    payload = sealed(pick(number, stratum), name, ORIGIN, CONSENT, KEY.public_key())
    box.put(name, stratum, consent, payload, at)
    return payload


def held(box: Box) -> list[int]:
    return [row.name.sequence for row in box.waiting(frozenset(), 1000)]


def test_what_is_put_is_there_after_a_restart_and_goes_by_its_name_alone(tmp_path: Path) -> None:
    box = opened(tmp_path)
    payloads = [put(box, number) for number in (1, 2, 3)]
    box.close()
    box = opened(tmp_path)
    assert [row.payload for row in box.waiting(frozenset(), 10)] == payloads
    assert [row.name.sequence for row in box.waiting(frozenset({CropName(5, 1)}), 1)] == [2]
    assert box.remove(CropName(5, 2))
    assert not box.remove(CropName(5, 2))
    assert not box.remove(CropName(6, 1))
    assert (held(box), box.rows, box.last(5), box.last(6)) == ([1, 3], 2, 3, 0)
    assert unseal(payloads[0], DEVICE, KEY).header.track == 1


def test_a_full_box_drops_uncertain_faces_first_then_disagreements_and_the_random_ones_last(tmp_path: Path) -> None:
    box = opened(tmp_path, 34_500)
    kinds: list[Stratum] = ["random", "uncertain", "disagreement"]
    for number, stratum in zip(range(1, 13), itertools.cycle(kinds)):
        put(box, number, stratum)
    assert box.bytes <= 34_500
    assert held(box) == [1, *range(3, 13)]  # eleven fit: the oldest uncertain one went
    for number in range(13, 40):
        put(box, number)
    assert box.bytes <= 34_500
    assert held(box) == list(range(29, 40))
    assert box.dropped == 39 - box.rows


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["random", "uncertain", "disagreement", "remove", "reopen"]), max_size=30), st.data())
def test_bytes_and_rows_are_those_of_the_file_whatever_happens(
    tmp_path: Path, events: list[str], data: st.DataObject
) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    box, number = opened(folder, 30_000), 0
    for event in events:
        if event == "remove":
            box.remove(CropName(5, data.draw(st.integers(1, 30))))
        elif event == "reopen":
            box.reopen()
        else:
            number += 1
            put(box, number, event)  # type: ignore[arg-type]
        assert (box.bytes, box.rows) == box._measure()
        assert box.bytes <= 30_000
    box.close()


def test_crops_of_another_consent_are_deleted_when_the_box_is_opened(tmp_path: Path) -> None:
    box = opened(tmp_path)
    payload = put(box, 1, consent="bob")
    put(box, 2)
    box.close()
    box = opened(tmp_path)
    assert (held(box), box.dropped) == ([2], 1)
    box.close()
    assert payload[40:80] not in (tmp_path / erasure.NAME).read_bytes()


def test_crops_that_are_sealed_to_another_key_are_deleted_and_not_sent(tmp_path: Path) -> None:
    box = opened(tmp_path)
    put(box, 1)
    box.close()
    other = opened(tmp_path, key=key_id(X25519PrivateKey.generate().public_key()))
    assert (held(other), other.rows, other.dropped) == ([], 0, 1)


def test_what_was_kept_in_the_last_day_is_known_after_a_restart_and_no_longer(tmp_path: Path) -> None:
    box = opened(tmp_path)
    put(box, 1, "uncertain", at=1000.0)
    put(box, 2, at=2000.0)
    box.remove(CropName(5, 1))
    box.close()
    box = opened(tmp_path)
    assert box.kept_since(3000.0) == [(1000.0, "uncertain"), (2000.0, "random")]
    assert box.kept_since(1500.0) == [(1000.0, "uncertain"), (1500.0, "random")]  # the clock was set back
    assert box.kept_since(1000.0 + 86400.0) == [(2000.0, "random")]


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_lose_rows_at_most_and_what_is_sent_has_its_right_name(seed: int, tmp_path: Path) -> None:
    box = opened(tmp_path)
    for number in range(1, 9):
        put(box, number)
    box.close()
    file = tmp_path / erasure.NAME
    chance, data = random.Random(seed), bytearray(file.read_bytes())  # noqa: S311
    first = 0 if seed % 4 == 0 else 4096 * 3
    for _ in range(12):
        data[chance.randrange(first, len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    try:
        box = opened(tmp_path)
        rows = box.waiting(frozenset(), 1000)
    except sqlite3.DatabaseError:
        box.reopen()
        rows = box.waiting(frozenset(), 1000)
    assert all((name_of(row.payload), sealed_to(row.payload)) == (row.name, KEY_ID) for row in rows)
    put(box, 100)
    assert 100 in held(box)
    box.close()


def test_a_row_of_another_name_is_put_aside_and_what_is_behind_it_is_sent(tmp_path: Path) -> None:
    box = opened(tmp_path)
    for number in (1, 2):
        put(box, number)
    with closing(sqlite3.connect(tmp_path / erasure.NAME)) as database:
        database.execute("UPDATE crop SET sequence = 77 WHERE sequence = 1")
        database.commit()
    assert (held(box), box.rows, box.dropped) == ([2], 1, 1)
    with closing(sqlite3.connect(tmp_path / erasure.NAME)) as database:
        assert database.execute("SELECT sequence, reason FROM damaged").fetchall() == [(77, "its name is another's")]
    box.close()


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / erasure.NAME).write_bytes(b"no database" * 1000)
    box = opened(tmp_path)
    put(box, 1)
    assert held(box) == [1]
    assert (tmp_path / erasure.DAMAGED).exists()
    box.close()


def test_erasing_leaves_no_file_of_crops_and_touches_no_other(tmp_path: Path) -> None:
    (tmp_path / erasure.DAMAGED).write_bytes(b"x")
    (tmp_path / "spool.db").write_bytes(b"y")
    box = opened(tmp_path)
    put(box, 1)
    box.close()
    assert erasure.erase(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["spool.db"]
    assert not erasure.erase(tmp_path)
