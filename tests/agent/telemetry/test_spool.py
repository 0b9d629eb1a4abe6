"""The spool: what leaves it, what goes first when it is full, and what a damaged or full disk does."""

import json
import re
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from edge_agent.telemetry.settings import SpoolSettings
from edge_agent.telemetry.spool import Spool
from edge_contract.messages import (
    Ack,
    Histogram,
    ModelRef,
    Prediction,
    PredictionBody,
    Telemetry,
    TelemetryBody,
    decode,
)

GOLDEN = Path(__file__).parents[2] / "contract" / "golden_messages"
MODEL = ModelRef(name="m", release=1, digest="0" * 64)


def prediction(label: str = "happy") -> PredictionBody:
    return PredictionBody(
        device="d", site="s", time=1.0, track=1, label=label,
        confidence=0.5, probabilities=(0.5, 0.5), box=(0.0, 0.0, 1.0, 1.0), model=MODEL, latency=0.001,
    )  # fmt: skip


def telemetry(frames: int = 0) -> TelemetryBody:
    return TelemetryBody(
        device="d", site="s", start=1.0, end=2.0, model=None,
        counters={"frames": frames}, emotions={}, stages={}, confidence=Histogram(counts=(), sum=0.0), gauges={},
    )  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(tmp_path: Path, clock: Clock, **options: Any) -> Spool:
    return Spool(tmp_path / "spool.db", SpoolSettings(**options), clock, clock)


def test_messages_come_out_in_order_with_their_key_and_the_oldest_held(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    for body, session in ((prediction(), 7), (telemetry(), 7), (prediction(), 8)):
        spool.put(body, session)
    rows = spool.after(0, 10)
    assert [row.key for row in rows] == [(7, 1), (7, 2), (8, 3)]
    assert [row.kind for row in rows] == ["prediction", "telemetry", "prediction"]
    sent = [decode(row.payload, {"telemetry": Telemetry, "prediction": Prediction}[row.kind]) for row in rows]
    assert [(each.session, each.sequence, each.oldest) for each in sent] == [
        (7, 1, (7, 1)),
        (7, 2, (7, 1)),
        (8, 3, (7, 1)),
    ]
    assert spool.after(1, 1)[0].key == (7, 2)
    spool.acknowledge(Ack(session=7, sequence=1))
    assert decode(spool.after(2, 1)[0].payload, Prediction).oldest == (7, 2)


@pytest.mark.parametrize("kind", ["prediction", "telemetry"])
def test_a_message_is_sent_with_every_field_it_was_made_with_and_no_field_twice(
    tmp_path: Path, clock: Clock, kind: str
) -> None:
    spool, body = opened(tmp_path, clock), telemetry(5) if kind == "telemetry" else prediction()
    spool.put(body, 7)
    fields = json.loads(spool.after(0, 1)[0].payload, object_pairs_hook=list)
    assert len(fields) == len(dict(fields))
    since = {"shadow", "tracks"} if kind == "telemetry" else set()  # fields that the first version did not have
    golden = msgspec.json.decode((GOLDEN / f"0.1.0-{kind}.json").read_bytes())
    assert dict(fields).keys() == golden.keys() | since
    assert (dict(fields)["session"], dict(fields)["sequence"], dict(fields)["oldest"]) == (7, 1, [7, 1])
    sent = decode(spool.after(0, 1)[0].payload, Telemetry if kind == "telemetry" else Prediction)
    assert all(getattr(sent, name) == getattr(body, name) for name in body.__struct_fields__)


def test_a_spool_of_the_version_before_is_sent_with_its_keys(tmp_path: Path, clock: Clock) -> None:
    """Rows as 0.1.0 wrote them: the whole message, its key as zeros behind the ids of device and site."""
    opened(tmp_path, clock).close()
    database = sqlite3.connect(tmp_path / "spool.db")
    for kind, session in (("prediction", 7), ("telemetry", 8)):
        written = (GOLDEN / f"0.1.0-{kind}.json").read_bytes()
        row = re.sub(
            rb'"session":7,"sequence":\d+,"oldest":\[7,3\]',
            b'"session":%d,"sequence":0,"oldest":[0,0]' % session,
            written,
        )
        assert row != written
        database.execute(
            "INSERT INTO message (session, kind, created, body) VALUES (?, ?, 1.0, ?)", (session, kind, row)
        )
    database.commit()
    database.close()
    spool = opened(tmp_path, clock)
    spool.put(prediction(), 9)
    old_prediction, old_telemetry, new = spool.after(0, 9)
    golden = decode((GOLDEN / "0.1.0-prediction.json").read_bytes(), Prediction)
    assert decode(old_prediction.payload, Prediction) == replace(golden, sequence=1, oldest=(7, 1))
    golden_window = decode((GOLDEN / "0.1.0-telemetry.json").read_bytes(), Telemetry)
    assert decode(old_telemetry.payload, Telemetry) == replace(golden_window, session=8, sequence=2, oldest=(7, 1))
    assert decode(new.payload, Prediction).sequence == 3


def test_the_version_before_can_read_what_this_one_stores(tmp_path: Path, clock: Clock) -> None:
    """A device whose agent is taken back to an older version: that decodes each row and sets the key."""
    spool = opened(tmp_path, clock)
    spool.put(prediction(), 7)
    (row,) = sqlite3.connect(tmp_path / "spool.db").execute("SELECT body FROM message").fetchone()
    stored = decode(row, Prediction)
    assert (stored.session, stored.sequence, stored.oldest) == (7, 0, (0, 0))


def test_only_the_bridges_acknowledgement_lets_a_message_go(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    for _ in range(5):
        spool.put(prediction(), 7)
    spool.after(0, 10)
    assert spool.rows == 5
    assert spool.acknowledge(Ack(session=7, sequence=3)) == 3
    assert [row.key[1] for row in spool.after(0, 10)] == [4, 5]
    assert spool.oldest() == (7, 4)
    assert spool.acknowledge(Ack(session=7, sequence=2)) == 0


def test_an_acknowledgement_of_an_earlier_life_lets_nothing_of_this_one_go(tmp_path: Path, clock: Clock) -> None:
    """A device whose spool was lost counts from 1 again; its sessions go on."""
    spool = opened(tmp_path, clock)
    spool.put(prediction(), 9)
    assert spool.acknowledge(Ack(session=8, sequence=5000)) == 0
    assert spool.rows == 1


def test_a_sequence_is_never_used_again_even_when_all_were_acknowledged(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    spool.put(prediction(), 7)
    spool.put(prediction(), 7)
    spool.acknowledge(Ack(session=7, sequence=2))
    spool.close()
    again = opened(tmp_path, clock)
    assert again.put(prediction(), 8) == 3


def test_the_oldest_telemetry_goes_first_and_is_counted_and_predictions_only_when_none_is_left(
    tmp_path: Path, clock: Clock
) -> None:
    spool = opened(tmp_path, clock, max_bytes=32_000)
    for number in range(60):
        spool.put(prediction(f"p{number}"), 1)
        spool.put(telemetry(number), 1)
    kinds = [row.kind for row in spool.after(0, 1000)]
    assert kinds.count("prediction") == 60
    assert spool.dropped["telemetry"] > 0
    assert spool.dropped["prediction"] == 0
    assert kinds.count("telemetry") + spool.dropped["telemetry"] == 60
    windows = [decode(row.payload, Telemetry) for row in spool.after(0, 1000) if row.kind == "telemetry"]
    held = [window.counters["frames"] for window in windows]
    assert held == list(range(60 - len(held), 60))
    for number in range(200):
        spool.put(prediction(f"q{number}"), 1)
    rows = spool.after(0, 1000)
    assert {row.kind for row in rows} == {"prediction"}
    assert spool.dropped["prediction"] == 260 - len(rows) > 0
    assert decode(rows[-1].payload, Prediction).label == "q199"


def test_the_file_on_disk_stays_near_the_bound(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock, max_bytes=1 << 20)
    for number in range(12_000):
        spool.put(prediction(f"{number}" + "x" * 60), 1)
    assert spool.bytes <= 1 << 20
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 << 20


def test_what_is_too_old_is_dropped_and_counted(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock, max_age_s=100.0)
    spool.put(prediction(), 1)
    spool.put(telemetry(), 1)
    clock.now += 90
    spool.put(prediction(), 1)
    clock.now += 20
    spool.expire()
    assert spool.rows == 1
    assert spool.dropped == {"telemetry": 1, "prediction": 1}


def test_a_message_no_broker_takes_is_given_up_and_counted(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    spool.put(prediction(), 1)
    spool.refuse(spool.after(0, 1)[0])
    assert spool.rows == 0
    assert spool.dropped["prediction"] == 1


NOW = 1_795_000_000.0
YEAR_S = 365 * 86400.0


class Set:
    """A clock that may be set, beside one that cannot."""

    def __init__(self, wall: float) -> None:
        self.wall, self.passed = wall, 50.0

    def pass_time(self, seconds: float) -> None:
        self.wall, self.passed = self.wall + seconds, self.passed + seconds

    def opened(self, tmp_path: Path) -> Spool:
        return Spool(tmp_path / "spool.db", SpoolSettings(max_age_s=100.0), lambda: self.wall, lambda: self.passed)


@pytest.mark.parametrize("before", [0.0, NOW - YEAR_S, NOW - 101.0, NOW + 70 * YEAR_S])
def test_a_clock_that_is_set_drops_nothing_that_is_young_and_keeps_nothing_that_is_old(
    tmp_path: Path, before: float
) -> None:
    """NTP's first answer comes after the start, and moves a board without a battery by years."""
    clock = Set(before)
    spool = clock.opened(tmp_path)
    spool.put(prediction(), 1)
    clock.pass_time(60)
    spool.put(prediction(), 1)
    clock.wall = NOW
    spool.expire()
    assert spool.rows == 2
    clock.pass_time(50)
    spool.expire()
    assert spool.rows == 1
    clock.pass_time(60)
    spool.expire()
    assert spool.rows == 0


@pytest.mark.parametrize("after", [0.0, NOW, NOW + 3600.0, NOW + 70 * YEAR_S])
@pytest.mark.parametrize("before", [0.0, NOW, NOW + 70 * YEAR_S])
def test_what_an_earlier_run_stored_counts_from_the_start_whatever_the_clocks_say(
    tmp_path: Path, before: float, after: float
) -> None:
    """A start in 2098, or before NTP answers, expires nothing; nor does the step to the right time."""
    clock = Set(before)
    spool = clock.opened(tmp_path)
    spool.put(prediction(), 1)
    spool.put(telemetry(), 1)
    spool.close()
    clock.wall = after
    spool = clock.opened(tmp_path)
    spool.put(prediction(), 1)
    spool.expire()
    clock.wall = NOW
    clock.pass_time(99)
    spool.expire()
    assert spool.rows == 3
    clock.pass_time(2)
    spool.put(prediction(), 1)
    spool.expire()
    assert spool.rows == 1
    assert spool.dropped == {"telemetry": 1, "prediction": 2}


def test_an_acknowledgement_of_a_later_session_deletes_nothing_behind_it(tmp_path: Path, clock: Clock) -> None:
    """The clock stood in 2098, `state.db` was lost, and the clock is right again: sessions go back, sequences go on."""
    spool = opened(tmp_path, clock)
    for session in (4_060_000_000, 4_060_000_000, 1_795_000_000, 1_795_000_000):
        spool.put(prediction(), session)
    assert spool.acknowledge(Ack(session=4_060_000_000, sequence=2)) == 2
    assert [row.key for row in spool.after(0, 9)] == [(1_795_000_000, 3), (1_795_000_000, 4)]
    assert spool.acknowledge(Ack(session=1_795_000_000, sequence=3)) == 1


_COLUMNS = ("session", "kind", "created", "body")


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from(_COLUMNS), st.integers(0, 2000), st.integers(0, 7)), max_size=4
    )
)
def test_after_flipped_bits_the_readable_is_sent_and_the_rest_is_put_aside(
    flips: list[tuple[int, str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock, path = Clock(), Path(folder) / "spool.db"
        spool = opened(Path(folder), clock)
        for number in range(3):
            spool.put(prediction(f"{number}"), 7)
            spool.put(telemetry(number), 7)
        spool.close()
        with sqlite3.connect(path) as database:
            for sequence, column, place, bit in flips:
                _flip(database, sequence, column, place, bit)
        database.close()
        spool = opened(Path(folder), clock)
        sent = spool.after(0, 100)
        for row in sent:
            message = decode(row.payload, {"telemetry": Telemetry, "prediction": Prediction}[row.kind])
            assert (message.session, message.sequence) == row.key
            assert message.oldest == sent[0].key
        assert {row.key[1] for row in sent} >= {1, 2, 3, 4, 5, 6} - {flip[0] for flip in flips}
        assert len(sent) + sum(spool.dropped.values()) == 6
        assert spool.rows == len(sent)
        assert spool.put(prediction(), 8) == 7
        assert [row.key for row in spool.after(6, 9)] == [(8, 7)]
        spool.expire()
        spool.close()


def _flip(database: sqlite3.Connection, sequence: int, column: str, place: int, bit: int) -> None:
    """One bit of one value, as a bad card does it."""
    database.text_factory = bytes
    (value,) = database.execute(f"SELECT {column} FROM message WHERE sequence = ?", (sequence,)).fetchone()  # noqa: S608
    if isinstance(value, int):
        changed = f"{value ^ (1 << (place % 63))}"
    elif isinstance(value, float):
        flipped = -value if bit else value * 2.0 ** (place % 900)
        changed = repr(flipped).replace("inf", "9e999")  # as SQL says it
    else:
        data = bytearray(value)
        data[place % len(data)] ^= 1 << bit
        changed = f"x'{data.hex()}'" if column == "body" else f"CAST(x'{data.hex()}' AS TEXT)"
    database.execute(f"UPDATE message SET {column} = {changed} WHERE sequence = ?", (sequence,))  # noqa: S608


def test_a_number_that_is_none_is_not_sent_and_holds_nothing_back(tmp_path: Path, clock: Clock) -> None:
    """A model that answers NaN: JSON has no such number, and what takes its place is read by no bridge."""
    spool = opened(tmp_path, clock)
    for body in (prediction(), replace(prediction(), confidence=float("nan")), prediction()):
        spool.put(body, 7)
    assert [row.key for row in spool.after(0, 9)] == [(7, 1), (7, 2)]  # refused before it was stored
    assert spool.dropped == {"telemetry": 0, "prediction": 1}
    with sqlite3.connect(tmp_path / "spool.db") as database:  # as an earlier version stored it
        database.execute("UPDATE message SET body = CAST(replace(body, '0.5', 'null') AS BLOB) WHERE sequence = 2")
    database.close()
    assert [row.key for row in spool.after(0, 9)] == [(7, 1)]
    assert spool.dropped == {"telemetry": 0, "prediction": 2}


def test_a_damaged_counter_of_sequences_stores_on(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    spool.put(prediction(), 7)
    spool.close()
    for damage in ("9223372036854775807", "-5", "'x'"):
        with sqlite3.connect(tmp_path / "spool.db") as database:
            database.execute(f"UPDATE sqlite_sequence SET seq = {damage}")  # noqa: S608
        database.close()
        spool = opened(tmp_path, clock)
        assert spool.put(prediction(), 7) is not None
        spool.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b""])
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path, clock: Clock, damage: bytes) -> None:
    (tmp_path / "spool.db").write_bytes(damage)
    spool = opened(tmp_path, clock)
    assert spool.put(prediction(), 1) == 1
    assert (tmp_path / "spool.db.damaged").exists() == bool(damage)


def test_damage_inside_the_file_is_found_at_start(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    for _ in range(200):
        spool.put(prediction(), 1)
    spool.close()
    path = tmp_path / "spool.db"
    data = bytearray(path.read_bytes())
    data[4096:12288] = b"\xff" * 8192
    path.write_bytes(bytes(data))
    again = opened(tmp_path, clock)
    assert again.rows == 0
    assert again.put(prediction(), 1) is not None


def test_a_full_disk_is_counted_and_stops_nothing(tmp_path: Path, clock: Clock) -> None:
    spool = opened(tmp_path, clock)
    pages = spool._database.execute("PRAGMA page_count").fetchone()[0]
    spool._database.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite then says what a full disk makes it say
    kept = sum(spool.put(prediction("x" * 60), 1) is not None for _ in range(200))
    assert 0 < kept < 200
    assert spool.dropped["prediction"] == 200 - kept
    assert spool.rows == kept


def test_a_spool_that_cannot_be_opened_keeps_nothing_says_so_and_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool.db", SpoolSettings(), clock, clock)
    assert spool.put(prediction("lost"), 1) is None
    assert (spool.dropped["prediction"], spool.rows, spool.after(0, 10), spool.oldest()) == (1, 0, [], (0, 0))
    assert "check the disk" in spool.trouble
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    clock.now += 5.0
    assert spool.put(prediction("kept"), 1) == 1
    assert (spool.rows, len(spool.after(0, 10)), spool.trouble) == (1, 1, "")
    spool.close()


class SpoolAgainstAList(RuleBasedStateMachine):
    """Whatever happens in whatever order, the spool is a list from which only the right things go."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.options = {"max_bytes": 8_000, "max_age_s": 100.0}
        self.spool = opened(Path(self.directory.name), self.clock, **self.options)
        self.session, self.last, self.dropped = 1, 0, 0
        self.acknowledged = 0

    def teardown(self) -> None:
        self.spool.close()
        self.directory.cleanup()

    @rule(kind=st.sampled_from(["telemetry", "prediction"]), count=st.integers(1, 12))
    def put(self, kind: str, count: int) -> None:
        for _ in range(count):
            sequence = self.spool.put(telemetry() if kind == "telemetry" else prediction(), self.session)
            assert sequence is not None
            assert sequence > self.last
            self.last = sequence

    @rule(back=st.integers(0, 20))
    def acknowledge(self, back: int) -> None:
        ack = Ack(session=self.session, sequence=max(0, self.last - back))
        self.spool.acknowledge(ack)
        self.acknowledged = max(self.acknowledged, ack.sequence)

    @rule(seconds=st.integers(1, 80))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds
        self.spool.expire()

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = opened(Path(self.directory.name), self.clock, **self.options)
        self.session += 1

    @precondition(lambda self: self.spool.rows > 0)
    @rule()
    def refuse(self) -> None:
        self.spool.refuse(self.spool.after(0, 1)[0])

    @invariant()
    def accounts(self) -> None:
        rows = self.spool.after(0, 10_000)
        assert self.spool.rows == len(rows)
        assert self.spool.bytes == self.spool._measure()[0] <= self.options["max_bytes"]
        keys = [row.key for row in rows]
        assert keys == sorted(set(keys))
        assert all(sequence > self.acknowledged for _, sequence in keys)
        assert self.spool.oldest() == (keys[0] if keys else (0, 0))


TestSpoolAgainstAList = SpoolAgainstAList.TestCase
TestSpoolAgainstAList.settings = settings(max_examples=30, stateful_step_count=25)


def test_synchronous_is_normal_and_the_journal_a_write_ahead_log(tmp_path: Path, clock: Clock) -> None:
    opened(tmp_path, clock).close()
    database = sqlite3.connect(tmp_path / "spool.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_body_with_what_is_no_number_is_dropped_and_counted_and_the_next_one_is_stored(
    tmp_path: Path, clock: Clock
) -> None:
    spool = Spool(tmp_path / "spool.db", SpoolSettings(), clock)
    assert spool.put(replace(prediction(), probabilities=(0.5, float("nan"))), 1) is None
    assert spool.put(replace(telemetry(), gauges={"fps": float("inf")}), 1) is None
    assert spool.dropped == {"telemetry": 1, "prediction": 1}
    assert spool.put(prediction(), 1) is not None
    assert spool.rows == 1


def test_the_oldest_message_waits_by_time_that_passed_whatever_is_done_to_the_clock(tmp_path: Path) -> None:
    wall, passed = Clock(), Clock()
    wall.now, passed.now = 1e9, 500.0
    spool = Spool(tmp_path / "spool.db", SpoolSettings(), wall, passed)
    assert spool.waiting_since() is None
    spool.put(telemetry(), 1)
    wall.now, passed.now = wall.now + 7, passed.now + 7
    spool.put(telemetry(), 1)
    assert spool.waiting_since() == pytest.approx(500.0)
    wall.now += 1e6  # NTP's first answer
    assert spool.waiting_since() == pytest.approx(500.0)
    spool.acknowledge(Ack(session=1, sequence=1))
    assert spool.waiting_since() == pytest.approx(507.0)
    spool.close()
    later = Clock()
    later.now = 10.0  # the board was started anew, and its clock has not been set
    again = Spool(tmp_path / "spool.db", SpoolSettings(), later, later)
    later.now = 25.0
    assert again.waiting_since() == 10.0
    again.acknowledge(Ack(session=1, sequence=2))
    assert again.waiting_since() is None
    again.close()
