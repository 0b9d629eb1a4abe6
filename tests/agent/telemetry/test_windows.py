"""Windows of telemetry: cumulative, with the frame rate of their own time, and never of negative length."""

from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.windows import Windows
from edge_contract.messages import STAGES, ModelRef, TelemetryBody, decode, encode
from edge_contract.metrics import DeviceCounter, DeviceGauge

MODEL = ModelRef(name="m", release=1, digest="0" * 64)


def test_windows_are_cumulative_and_fps_is_of_the_window() -> None:
    meter = Meter()
    windows = Windows(meter, device="d", site="s", now=100.0)
    for _ in range(30):
        meter.frame(1)
    first = windows.cut(102.0, None, {}, {})
    for _ in range(10):
        meter.frame(0)
    second = windows.cut(112.0, MODEL, {DeviceCounter.SPOOL_DROPPED: 4}, {DeviceGauge.RSS_BYTES: 5.0})
    assert (first.counters["frames"], first.counters["drops"], first.gauges["fps"]) == (30, 30, 15.0)
    assert (second.counters["frames"], second.gauges["fps"], second.counters["spool_dropped"]) == (40, 1.0, 4)
    assert (second.start, second.end, second.model) == (102.0, 112.0, MODEL)
    assert set(second.stages) == set(STAGES)
    assert decode(encode(second), TelemetryBody) == second


def test_the_first_window_counts_zero_for_what_has_not_happened_so_that_rates_have_a_start() -> None:
    counters = Windows(Meter(), device="d", site="s", now=0.0).cut(1.0, None, {}, {}).counters
    assert counters.keys() >= {"frames", "drops", "faces", "predictions", "errors", "reconnects"}
    assert set(counters.values()) == {0}


def test_a_clock_that_was_set_back_makes_an_empty_window_not_a_negative_one() -> None:
    windows = Windows(Meter(), device="d", site="s", now=100.0)
    window = windows.cut(50.0, None, {}, {})
    assert (window.start, window.end) == (100.0, 100.0)
    assert decode(encode(window), TelemetryBody) == window
