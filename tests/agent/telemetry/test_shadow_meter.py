"""What a shadow counts, and when it begins anew."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.inference.events import Compared
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.shadow_meter import Confusion, ShadowMeter, Sure
from edge_agent.telemetry.windows import Windows
from edge_contract import limits
from edge_contract.messages import ModelRef, ShadowCounts, TelemetryBody, decode, encode
from edge_contract.wave import ShadowTerms

CHAMPION, CHALLENGER, OTHER = (ModelRef(name="m", release=n, digest=f"{n:064x}") for n in (1, 2, 3))
TERMS = ShadowTerms()


def look(
    one: str = "happy",
    other: str = "happy",
    sure: tuple[float, float] = (0.5, 0.5),
    seconds: tuple[float, float] = (0.001, 0.001),
    champion: ModelRef = CHAMPION,
    challenger: ModelRef = CHALLENGER,
) -> Compared:
    return Compared(
        champion=champion, challenger=challenger, champion_label=one, challenger_label=other,
        champion_confidence=sure[0], challenger_confidence=sure[1], champion_seconds=seconds[0],
        challenger_seconds=seconds[1],
    )  # fmt: skip


def begun() -> ShadowMeter:
    meter = ShadowMeter()
    meter.begin(CHAMPION, CHALLENGER, TERMS)
    return meter


def counts(meter: ShadowMeter) -> ShadowCounts:
    found = meter.read()
    assert found is not None
    return found


def test_nothing_travels_without_a_shadow_and_zeros_from_its_first_moment_on() -> None:
    assert ShadowMeter().read() is None
    found = counts(begun())
    assert (found.champion, found.challenger, found.looks, found.confusion) == (CHAMPION, CHALLENGER, 0, {})


def test_what_is_counted_of_a_look() -> None:
    meter = begun()
    meter.compared(look())
    meter.compared(look("happy", "sad", sure=(0.9, 0.79)))
    meter.compared(look("sad", "sad", sure=(0.4, 0.51), seconds=(0.001, 0.0016)))
    meter.compared(look("sad", "happy", sure=(0.5, 0.6), seconds=(0.001, 0.0015)))  # neither beyond its term
    meter.shadow_failed(CHAMPION, CHALLENGER)
    meter.shadow_skipped(CHALLENGER, 3)
    found = counts(meter)
    assert (found.looks, found.agreed, found.failures, found.skipped) == (4, 2, 1, 3)
    assert (found.less_sure, found.more_sure, found.slower) == (1, 1, 1)
    assert found.confusion == {"happy": {"happy": 1, "sad": 1}, "sad": {"sad": 1, "happy": 1}}
    assert sum(found.champion_confidence.counts) == sum(found.challenger_latency.counts) == 4
    assert found.challenger_latency.sum > found.champion_latency.sum
    assert decode(encode(found), ShadowCounts) == found


def test_looks_of_which_the_champion_is_sure_are_counted_by_its_label_and_those_that_are_contradicted() -> None:
    meter = begun()
    meter.compared(look("happy", "happy", sure=(0.8, 1.0)))
    meter.compared(look("happy", "sad", sure=(0.9, 0.2)))
    meter.compared(look("happy", "sad", sure=(0.79, 1.0)))
    meter.compared(look("sad", "sad", sure=(1.0, 1.0)))
    meter.compared(look("fear", "sad", sure=(0.5, 0.9)))
    found = counts(meter)
    assert (found.sure, found.contradicted) == ({"happy": 2, "sad": 1}, {"happy": 1})
    assert decode(encode(found), ShadowCounts) == found


def test_how_sure_is_what_the_wave_s_terms_say() -> None:
    meter = ShadowMeter()
    meter.begin(CHAMPION, CHALLENGER, ShadowTerms(sure=0.5))
    meter.compared(look(sure=(0.5, 0.1)))
    meter.compared(look(sure=(0.49, 0.9)))
    assert counts(meter).sure == {"happy": 1}


def test_the_counts_go_on_for_the_same_pair_and_begin_anew_for_another_or_for_other_terms() -> None:
    meter = begun()
    meter.compared(look())
    meter.begin(CHAMPION, CHALLENGER, TERMS)
    assert counts(meter).looks == 1
    meter.compared(look(champion=OTHER))  # another one answers now
    assert (counts(meter).champion, counts(meter).looks) == (OTHER, 1)
    meter.begin(OTHER, CHALLENGER, ShadowTerms(slower=2.0))
    assert counts(meter).looks == 0


def test_what_a_challenger_that_is_out_still_says_is_not_counted() -> None:
    meter = begun()
    meter.compared(look(challenger=OTHER))
    meter.shadow_failed(CHAMPION, OTHER)
    meter.shadow_skipped(OTHER, 1)
    found = counts(meter)
    assert (found.looks, found.failures, found.skipped) == (0, 0, 0)


def test_the_last_counts_travel_once_after_the_end() -> None:
    meter = begun()
    meter.compared(look())
    meter.end()
    assert counts(meter).looks == 1
    assert meter.read() is None
    meter.compared(look())
    assert meter.read() is None
    meter.begin(CHAMPION, CHALLENGER, TERMS)
    assert counts(meter).looks == 0


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=300),
    st.sampled_from(["l", "é" * 60, "\x01" * 60, '"' * 60]),
)
def test_a_window_fits_its_message_whatever_the_labels(pairs: list[tuple[int, int]], name: str) -> None:
    meter = begun()
    for one, other in [*pairs, *((n, 2 * n) for n in range(100)), *((1, n) for n in range(400))]:
        meter.compared(look(f"{name}{one}", f"{name}{other}", sure=(1.0, 1.0)))
    windows = Windows(Meter(), device="d", site="s", now=0.0)
    body = windows.cut(10.0, CHAMPION, {}, {}, counts(meter))
    data = encode(body)
    assert decode(data, TelemetryBody) == body
    assert len(data) <= limits.MESSAGE_BYTES // 2


def test_of_too_many_labels_those_met_first_are_counted_on() -> None:
    confusion = Confusion()
    for number in range(100):
        confusion.count(str(number), "a")
    for number in range(100):
        confusion.count(str(number), "a")
    found = confusion.snapshot()
    assert len(found) == 64
    assert found["0"] == {"a": 2}


def test_of_too_many_labels_that_it_is_sure_of_those_met_first_are_counted_on() -> None:
    counted = Sure()
    for _ in range(2):
        for number in range(100):
            counted.count(str(number), "a")
    sure, contradicted = counted.snapshot()
    assert len(sure) == 64
    assert sure == contradicted == {str(number): 2 for number in range(64)}
