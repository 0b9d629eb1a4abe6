"""Crops and answers in a real file: limits, repeats, second looks, and an erasure after which the bytes are gone."""

import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_bridge.labels import annotations, crops, erasure, families, reading
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.collector import Collector
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.desk import Desk
from edge_bridge.labels.settings import LabelSettings
from edge_bridge.labels.tables import annotations as annotation_table
from edge_bridge.labels.tables import crops as crop_table
from edge_bridge.link import Arrival
from edge_bridge.storage.engine import StoreError
from tests.bridge.labels.faces import KEY, NOW, PIXELS, guess, opened, sealed, store


def desk_of(database: LabelDatabase, second: float = 1.0) -> Desk:
    return Desk(database, KEY, second, lambda: NOW)


def count(database: LabelDatabase, table: sa.Table) -> int:
    with database.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_crop_that_comes_twice_is_stored_once_and_answered_twice(tmp_path: Path) -> None:
    database = opened(tmp_path)
    payload = sealed()
    for _ in range(2):
        (found,) = store(database, [("cam-1", payload)])
        assert (found.name, found.refused) == ((5, 1), None)
    assert count(database, crop_table) == 1
    assert stat.S_IMODE((tmp_path / "labels.db").stat().st_mode) == 0o600


def test_a_device_and_all_devices_have_their_limits_and_what_is_there_stays_acknowledged(tmp_path: Path) -> None:
    database = opened(tmp_path)
    few = LabelSettings(device_crops=2, crops=3)
    sent = [("cam-1", sealed(sequence=n)) for n in (1, 2, 3)] + [("cam-2", sealed("cam-2", n)) for n in (1, 2)]
    assert [each.refused for each in store(database, sent, few)] == [None, None, "device-limit", None, "limit"]
    assert [each.refused for each in store(database, sent[:1], few)] == [None]
    large = [
        ("cam-3", sealed("cam-3", n, pixels=bytes(128 * 128 * 3), width=128, height=128, channels=3))
        for n in range(1, 23)
    ]
    found = [each.refused for each in store(database, large, LabelSettings(device_mb=1))]
    assert found == [None] * 20 + ["device-limit"] * 2  # 49 kB each


def test_no_picture_is_in_the_clear_in_the_file(tmp_path: Path) -> None:
    database = opened(tmp_path)
    store(database, [("cam-1", sealed())])
    assert desk_of(database).picture(1) is not None
    for file in tmp_path.iterdir():
        assert PIXELS[:64] not in file.read_bytes()


def test_a_picture_comes_out_of_the_seal_pixel_by_pixel_and_without_its_key_not_at_all(tmp_path: Path) -> None:
    import io  # noqa: PLC0415

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    database = opened(tmp_path)
    rgb = bytes(range(256)) * 3
    store(database, [("cam-1", sealed()), ("cam-1", sealed(sequence=2, pixels=rgb, width=16, height=16, channels=3))])
    for crop, pixels in ((1, PIXELS), (2, rgb)):
        found = desk_of(database).picture(crop)
        assert found is not None
        assert Image.open(io.BytesIO(found)).tobytes() == pixels
    stranger = Desk(database, X25519PrivateKey.generate(), 1.0, lambda: NOW)
    assert stranger.picture(1) is None
    assert stranger.next("ann") is None


def test_a_person_is_asked_of_each_crop_once_and_a_second_one_of_a_share(tmp_path: Path) -> None:
    database = opened(tmp_path)
    store(database, [("cam-1", sealed(sequence=n)) for n in range(1, 11)])
    desk = desk_of(database)
    seen = []
    while (shown := desk.next("ann")) is not None:
        seen.append(shown.id)
        assert desk.answer(shown.id, "ann", Answer("label", "happy"), shown=False)
    assert sorted(seen) == list(range(1, 11))
    assert desk.progress("ann") == (10, 10, 10)
    assert seen != sorted(seen)  # in an order that does not depend on when they came
    others = 0
    while (shown := desk.next("bob")) is not None:
        others += 1
        assert desk.answer(shown.id, "bob", Answer("label", "sad"), shown=False)
    assert others == 10
    assert desk.next("cid") is None  # two answers are enough
    assert desk_of(database, second=0.0).next("cid") is None


def test_a_person_is_asked_of_strata_in_turn(tmp_path: Path) -> None:
    database = opened(tmp_path)
    strata = ["random"] * 8 + ["uncertain"] * 8
    store(database, [("cam-1", sealed(sequence=n, stratum=stratum)) for n, stratum in enumerate(strata, 1)])
    desk = desk_of(database)
    for _ in range(8):
        shown = desk.next("ann")
        assert shown is not None
        desk.answer(shown.id, "ann", Answer("cannot-tell"), shown=False)
    assert desk.report().answered == {"random": 5, "uncertain": 3}


def test_an_undo_is_a_further_row_and_shows_the_crop_again(tmp_path: Path) -> None:
    database = opened(tmp_path)
    store(database, [("cam-1", sealed()), ("cam-1", sealed(sequence=2))])
    desk = desk_of(database)
    assert desk.take_back("ann") is None
    first = desk.next("ann")
    assert first is not None
    desk.answer(first.id, "ann", Answer("not-a-face"), shown=False)
    back = desk.take_back("ann")
    assert back is not None
    assert back.id == first.id
    assert desk.progress("ann") == (2, 0, 0)
    assert count(database, annotation_table) == 2
    again = desk.next("ann")
    assert again is not None
    assert again.id == first.id  # it waits as before
    assert not desk.answer(first.id, "ann", Answer("label", "no such label"), shown=False)
    assert not desk.answer(99, "ann", Answer("not-a-face"), shown=False)


def test_an_erasure_takes_crops_and_labels_and_their_bytes_and_refuses_what_comes_again(tmp_path: Path) -> None:
    database = opened(tmp_path)
    mine, kept, earlier = sealed(sequence=2), sealed("cam-2"), sealed(sequence=1, taken=NOW - 5000)
    store(database, [("cam-1", mine), ("cam-2", kept), ("cam-1", earlier)])
    with database.transaction() as connection:
        for crop in (1, 2, 3):
            annotations.add(connection, crop, "ann-of-the-erased", Answer("label", "happy"), NOW, shown=False)
    other = LabelDatabase(database.file)  # as the bridge has it open meanwhile
    with other.reading() as connection:
        assert len(reading.labelled(connection).facts) == 3
    found = erasure.erase(database, "cam-1", NOW - 2000, None, NOW)
    assert found.crops == 1
    held = b"".join(file.read_bytes() for file in tmp_path.glob("labels.db*"))
    assert mine[30:80] not in held
    assert kept[30:80] in held
    assert earlier[30:80] in held
    assert (tmp_path / "labels.db-wal").stat().st_size == 0
    with other.reading() as connection:
        assert {each.device for each in reading.labelled(connection).facts} == {"cam-1", "cam-2"}
        assert len(annotations.rows(connection)) == 2
    (again,) = store(database, [("cam-1", mine)])
    assert again.refused == "erased"
    (later,) = store(database, [("cam-1", sealed(sequence=9, taken=NOW + 50))])
    assert later.refused is None  # another consent, another time
    other.close()


def test_an_erasure_that_could_not_overwrite_says_so_and_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_bridge.labels.database.LOCK_S", 0.2)
    database, other = opened(tmp_path), LabelDatabase(tmp_path / "labels.db")
    mine = sealed()
    store(database, [("cam-1", mine)])
    with other.reading() as connection:
        assert len(reading.every_crop(connection).facts) == 1
        with pytest.raises(StoreError, match=r"1 crops of cam-1 are erased, but their bytes .* and run this again\."):
            erasure.erase(database, "cam-1", None, None, NOW)
        assert len(reading.every_crop(connection).facts) == 1  # what it began to read stays for it
    assert erasure.erase(database, "cam-1", None, None, NOW).crops == 0
    assert mine[30:80] not in b"".join(file.read_bytes() for file in tmp_path.glob("labels.db*"))
    other.close()


def test_what_is_past_its_time_is_forgotten_with_its_labels(tmp_path: Path) -> None:
    database = opened(tmp_path)
    payload = sealed()
    store(database, [("cam-1", payload)])
    with database.transaction() as connection:
        annotations.add(connection, 1, "ann", Answer("label", "happy"), NOW, shown=False)
    now = [NOW]
    collector = Collector(database, KEY, LabelSettings(retention_days=30), lambda: now[0], lambda _messages: None)
    now[0] += 29 * 86400
    collector.keep_house()
    assert count(database, crop_table) == 1
    now[0] += 2 * 86400
    collector.keep_house()
    assert (count(database, crop_table), count(database, annotation_table)) == (0, 0)
    assert payload[30:80] not in b"".join(file.read_bytes() for file in tmp_path.glob("labels.db*"))


def test_nothing_is_answered_that_is_not_stored(tmp_path: Path) -> None:
    database = opened(tmp_path)
    said: list[tuple[str, bytes]] = []
    collector = Collector(database, KEY, LabelSettings(), lambda: NOW, said.extend)
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE tombstones")
    with pytest.raises(StoreError):
        collector.take_in([Arrival("edgewise/v1/device/cam-1/crop", sealed())])
    assert (said, collector.stored) == ([], 0)


def test_a_crop_whose_facts_are_damaged_is_passed_over_and_counted(tmp_path: Path) -> None:
    database = opened(tmp_path)
    store(database, [("cam-1", sealed()), ("cam-1", sealed(sequence=2, challenger=guess("sad", 5)))])
    with database.transaction() as connection:
        connection.execute(sa.update(crop_table).where(crop_table.c.id == 1).values(champion="{"))
    desk = desk_of(database)
    shown = desk.next("ann")
    assert shown is not None
    assert (shown.id, [each[:2] for each in shown.guesses]) == (2, [("emotion-4", "happy"), ("emotion-5", "sad")])
    desk.answer(2, "ann", Answer("label", "sad"), shown=False)
    assert desk.next("ann") is None
    report = desk.report()
    assert (report.damaged, report.accuracy["emotion-5"].share, report.accuracy["emotion-4"].share) == (1, 1.0, 0.0)
    with database.reading() as connection:
        assert crops.opened(connection, 1) is None


ACTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cid"]), st.integers(0, 3), st.sampled_from(["happy", "sad", "none"])),
    max_size=25,
)


@settings(max_examples=10)
@given(acts=ACTS)
def test_whatever_people_do_each_ones_last_answer_that_was_not_taken_back_stands(
    acts: list[tuple[str, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Crop 0 stands for an undo. The database is held against lists of answers in memory."""
    database = opened(tmp_path_factory.mktemp("acts"))
    store(database, [("cam-1", sealed(sequence=n)) for n in (1, 2, 3)])
    desk, given_answers = desk_of(database), list[tuple[str, int, str]]()
    for who, crop, label in acts:
        answer = Answer("label", label) if label != "none" else Answer("not-a-face")
        if crop:
            assert desk.answer(crop, who, answer, shown=False)
            given_answers.append((who, crop, label))
            continue
        back, mine = desk.take_back(who), [each for each in given_answers if each[0] == who]
        assert (back.id if back is not None else None) == (mine[-1][1] if mine else None)
        if mine:  # the last that is like it: equal answers of one person to one crop may be told apart by none
            del given_answers[len(given_answers) - 1 - given_answers[::-1].index(mine[-1])]
    last = {(crop, who): label for who, crop, label in given_answers}
    with database.reading() as connection:
        found = reading.labelled(connection)
        answers = {row[0]: row[1] for row in connection.execute(sa.select(crop_table.c.id, crop_table.c.answers))}
    assert {
        (crop, who): row.answer.label or "none"
        for crop, by in found.stands.items()
        for who, row in by.items()
        if row.answer is not None
    } == last
    assert answers == {crop: sum(each == crop for each, _ in last) for crop in (1, 2, 3)}
    assert {each.id for each in found.facts} == {crop for crop, _ in last}
    assert desk.progress("ann").mine == sum(who == "ann" for _, who in last)
    database.close()


def test_metrics_show_accuracy_with_its_interval_by_model_and_stratum(tmp_path: Path) -> None:
    database = opened(tmp_path)
    strata = ["random"] * 4 + ["uncertain"]
    store(database, [("cam-1", sealed(sequence=n, stratum=stratum)) for n, stratum in enumerate(strata, 1)])
    desk = desk_of(database)
    collector = Collector(database, KEY, LabelSettings(), lambda: NOW, lambda _messages: None)
    collector.refused["key"] += 2
    for crop, label in enumerate(("happy", "happy", "happy", "sad", "sad"), 1):
        desk.answer(crop, "ann", Answer("label", label), shown=False)
    lines = families.writer(desk, collector)(NOW, False).splitlines()
    for line in (
        'edgewise_label_crops_refused_total{reason="key"} 2',
        'edgewise_label_crops{stratum="disagreement"} 0',
        'edgewise_labelled_crops{model="emotion-4",stratum="random"} 4',
        'edgewise_labelled_crops{model="emotion-4",stratum="uncertain"} 1',
        'edgewise_labelled_accuracy_ratio{model="emotion-4"} 0.75',
        'edgewise_labelled_accuracy_ratio_lower{model="emotion-4"} 0.300642',
        'edgewise_labelled_accuracy_ratio_upper{model="emotion-4"} 0.954413',
    ):
        assert line in lines
    database.close()
    (tmp_path / "labels.db").unlink()
    (tmp_path / "labels.db").mkdir()  # a database that is away takes no other series with it
    again = families.writer(desk_of(LabelDatabase(tmp_path / "labels.db")), collector)(NOW, True)
    assert "edgewise_label_crops_stored_total" in again
    assert "accuracy" not in again
