"""What a device counts and measures: histograms, gauges a board can be asked for, exact percentiles, errors."""

from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.events import PredictionEvent
from edge_agent.telemetry.board import Board
from edge_agent.telemetry.meter import Buckets, Meter
from edge_agent.telemetry.observer import MetricsObserver
from edge_contract.messages import (
    CONFIDENCE_BOUNDS,
    STAGE_BOUNDS,
    ModelRef,
    PredictionBody,
    decode,
    encode,
)

MODEL = ModelRef(name="m", release=1, digest="0" * 64)


@given(st.lists(st.floats(0, 2), max_size=50))
def test_a_histogram_counts_every_value_once_in_the_bucket_whose_upper_bound_holds_it(values: list[float]) -> None:
    buckets = Buckets(STAGE_BOUNDS)
    for value in values:
        buckets.observe(value)
    histogram = buckets.snapshot()
    assert sum(histogram.counts) == len(values)
    assert len(histogram.counts) == len(STAGE_BOUNDS) + 1
    assert histogram.sum == pytest.approx(sum(values))
    for index, bound in enumerate(STAGE_BOUNDS):
        assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)


def test_a_value_on_a_bound_belongs_below_it_as_prometheus_has_it() -> None:
    buckets = Buckets(CONFIDENCE_BOUNDS)
    buckets.observe(0.5)
    assert buckets.snapshot().counts[bisect_left(CONFIDENCE_BOUNDS, 0.5)] == 1


def test_percentiles_are_exact_and_in_milliseconds() -> None:
    meter = Meter()
    for number in range(1, 1001):
        meter.stage("whole", number / 1000)
    whole = meter.whole()
    assert (whole.n, whole.p50, whole.p95, whole.p99) == (1000, 501.0, 951.0, 991.0)
    assert Meter().whole().n == 0


def test_a_boards_files_become_gauges_and_what_is_missing_is_left_out(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    bare = Board(tmp_path).gauges()
    assert bare.keys() == {"cpu_share"}
    write("sys/class/thermal/thermal_zone0/temp", "48312\n")
    write("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    write("proc/self/statm", "30000 12000 5000 1 0 9000 0\n")
    write("proc/meminfo", "MemTotal:  948280 kB\nMemAvailable:  512000 kB\n")
    write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    write("etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    board = Board(tmp_path)
    gauges = board.gauges()
    assert gauges["temperature_celsius"] == pytest.approx(48.312)
    assert gauges["throttled"] == 5.0  # under-voltage and throttled now; what was since boot is not of this moment
    assert gauges["rss_bytes"] == 12000 * 4096
    assert gauges["memory_available_bytes"] == 512000 * 1024
    assert board.model() == "Raspberry Pi 4 Model B Rev 1.4"
    assert board.system() == "Debian GNU/Linux 12 (bookworm)"


@pytest.mark.parametrize("junk", ["", "hot", "\0\xff", "9" * 400])
def test_a_board_that_talks_nonsense_gives_no_gauge(tmp_path: Path, junk: str) -> None:
    for path in ("sys/class/thermal/thermal_zone0/temp", "proc/self/statm", "sys/devices/platform/soc/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(junk)
    assert "rss_bytes" not in Board(tmp_path).gauges()


def test_the_share_of_a_processor_is_of_the_time_between_two_readings() -> None:
    times = iter([0.0, 10.0, 20.0])
    used = iter([1.0, 3.0, 3.0])
    board = Board(Path("/nonexistent"), monotonic=lambda: next(times), cpu=lambda: next(used))
    assert board.gauges()["cpu_share"] == pytest.approx(0.2)
    assert board.gauges()["cpu_share"] == 0.0


class Reporting:
    """An observer whose clock a test sets."""

    def __init__(self, per_minute: float = 60.0) -> None:
        self.time, self.sent, self.meter = 100.0, list[PredictionBody](), Meter()
        self.observer = MetricsObserver(
            self.meter,
            self.sent.append,
            device="d",
            site="s",
            per_minute=per_minute,
            clock=lambda: self.time,
            now=lambda: 1e9 + self.time,
        )


def event(captured: float = 99.9) -> PredictionEvent:
    return PredictionEvent(
        track=1, label="happy", confidence=0.9, probabilities=(0.1, 0.9), box=(0.0, 0.0, 1.0, 1.0),
        captured=captured, moment=captured, model=MODEL,
    )  # fmt: skip


def test_a_prediction_carries_latency_from_capture_and_goes_through_the_contract() -> None:
    reporting = Reporting()
    reporting.observer.prediction(event())
    (sent,) = reporting.sent
    assert sent.latency == pytest.approx(0.1)
    assert sent.time == 1e9 + 100.0
    assert decode(encode(sent), PredictionBody) == sent


def test_past_the_cap_predictions_are_counted_and_not_sent() -> None:
    reporting = Reporting(per_minute=60)
    for _ in range(100):
        reporting.observer.prediction(event())
    counters = reporting.meter.read().counters
    assert len(reporting.sent) == counters["predictions"] == 15
    assert counters["predictions_capped"] == 85


def test_an_error_on_every_frame_fills_no_disk_but_every_one_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    reporting = Reporting()
    for _ in range(300):
        reporting.time += 1 / 30
        reporting.observer.error("frame", "torn")
    reporting.time += 10
    reporting.observer.error("frame", "torn")
    assert reporting.meter.read().counters["errors_frame"] == reporting.meter.read().counters["errors"] == 301
    assert len(caplog.records) == 2
    assert "299 more since the last line" in caplog.records[1].getMessage()
