"""A plan in words: what is read, what is refused in which sentence, and that it comes back as it went."""

import contextlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_contract.errors import UsageError
from edge_contract.wave import ShadowTerms
from edge_fleet.rollout.plans.file import parse_plan, plan_as_toml, plan_of_options
from edge_fleet.rollout.plans.plan import DEFAULT, BehavesGate, HealthyGate, InstalledGate, Plan, ShadowGate, WaveSize
from edge_fleet.rollout.plans.words import duration, in_words

EXAMPLE = Path(__file__).parents[4] / "docs" / "rollout.example.toml"
SHARES = st.floats(0, 1)
LIMITS = st.floats(0, 1, exclude_min=True)
SECONDS = st.one_of(st.integers(0, 30 * 86400).map(float), st.floats(0, 30 * 86400))
SOME = st.integers(1, 2**31)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    devices = draw(st.lists(st.integers(1, 256), max_size=4, unique=True))
    shares = draw(st.lists(st.floats(1e-9, 1), min_size=0 if devices else 1, max_size=4, unique=True))
    waves = (*(WaveSize(devices=each) for each in sorted(devices)), *(WaveSize(share=each) for each in sorted(shares)))
    shadow = draw(
        st.none()
        | st.builds(
            ShadowGate,
            faces=SOME,
            share=SHARES,
            agreement=st.floats(0, 1, exclude_max=True),
            swapped=LIMITS,
            contradicted=LIMITS,
            timeout=SECONDS,
            terms=st.builds(
                ShadowTerms, spacing=st.floats(0, 3600), slower=st.floats(1, 100), unsure=SHARES, sure=SHARES
            ),
        )
    )
    hour = st.integers(0, 22).map(lambda hour: f"{hour:02d}:30-{hour + 1:02d}:15")
    return Plan(
        waves=waves,
        approve=tuple(sorted(draw(st.sets(st.integers(0 if shadow else 1, len(waves)))))),
        windows=tuple(draw(st.lists(hour, max_size=3))),
        risk=draw(st.floats(1e-6, 0.2)),
        shadow=shadow,
        installed=draw(st.builds(InstalledGate, failed=SHARES, minimum=SOME, timeout=SECONDS)),
        healthy=draw(st.builds(HealthyGate, soak=SECONDS, silent=SECONDS)),
        behaves=draw(
            st.none() | st.builds(BehavesGate, windows=SOME, mix=LIMITS, latency=st.floats(1, 100, exclude_min=True))
        ),
    )


@given(plans())
def test_a_plan_that_is_written_is_read_as_the_same_plan(plan: Plan) -> None:
    assert parse_plan(plan_as_toml(plan).encode(), "plan.toml") == plan
    assert plan_of_options(base=plan) == plan


def test_the_example_of_the_manual_is_the_default_plan_with_approval_and_windows() -> None:
    plan = parse_plan(EXAMPLE.read_bytes(), EXAMPLE.name)
    assert replace(plan, approve=(), windows=()) == DEFAULT
    assert plan.approve == (4,)
    assert plan.windows == ("02:00-05:00",)


def test_the_example_names_every_key_that_there_is() -> None:
    given_, every = (tomllib.loads(text) for text in (EXAMPLE.read_text(), plan_as_toml(DEFAULT)))
    assert {name: set(value) if isinstance(value, dict) else None for name, value in given_.items()} == {
        name: set(value) if isinstance(value, dict) else None for name, value in every.items()
    }


def test_the_manual_s_table_has_every_key_with_its_default() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", (EXAMPLE.parent / "rollouts.md").read_text(), re.MULTILINE)
    lines = []
    for key, value in rows:
        if key == "waves":
            lines.append(f"waves = {value.split(', ')}")
        elif value != "none":
            lines.append(f"{key} = {value if re.fullmatch('[0-9.]+', value) else repr(value)}")
    assert parse_plan("\n".join(lines).encode(), "rollouts.md") == DEFAULT
    sections = tomllib.loads(plan_as_toml(DEFAULT))
    assert {key for key, _ in rows} == set(_leaves(sections))


def _leaves(table: dict[str, object], where: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield from _leaves(value, f"{where}{key}.") if isinstance(value, dict) else [where + key]


def test_an_empty_plan_is_the_default() -> None:
    assert parse_plan(b"", "plan.toml") == DEFAULT


def test_a_gate_can_be_left_out() -> None:
    plan = parse_plan(b"shadow = false\nbehaves = false", "plan.toml")
    assert (plan.shadow, plan.behaves) == (None, None)


def test_options_replace_what_they_say_and_nothing_else() -> None:
    plan = plan_of_options(shadow=50, waves="2, 10%,100%", soak="1h30m", approve="10%", windows=["22:00-04:00"])
    assert plan.shadow == ShadowGate(faces=50)
    assert plan.waves == (WaveSize(devices=2), WaveSize(share=0.1), WaveSize(share=1.0))
    assert plan.healthy.soak == 5400
    assert plan.approve == (2,)
    assert plan.windows == ("22:00-04:00",)
    assert plan.behaves == DEFAULT.behaves


def test_no_shadow_takes_its_approval_along_and_other_waves_keep_theirs() -> None:
    base = replace(DEFAULT, approve=(0, 4))
    assert plan_of_options(base=base, shadow=0).approve == (4,)
    assert plan_of_options(base=base, waves="50%,100%").approve == (0, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('waves = ["101%"]', "p.toml: a wave of 101% is more than everyone; the last wave is \"100%\"."),
        ('waves = ["50%", "10%"]', "p.toml: the wave 10% after 50% does not grow; a wave counts everyone of earlier"),
        ('waves = ["5", "5"]', "p.toml: the wave 5 after 5 does not grow; a wave counts everyone of earlier ones in."),
        ("waves = []", "p.toml: the plan has no wave; write at least one, such as waves = [\"100%\"]."),
        ('waves = ["0%"]', "p.toml: a wave of 0% is none; leave it out."),
        ("waves = [0]", "p.toml: a wave of 0 is none; leave it out."),
        ('waves = ["257"]', "p.toml: a wave names at most 256 devices, not 257; write a share, as \"10%\"."),
        ('waves = ["0.5"]', "0.5 is no size of a wave; write devices, such as \"5\", or a share, such as \"10%\"."),
        ("waves = [nan]", "nan is no size of a wave"),
        ("waves = [true]", "True is no size of a wave"),
        ('waves = "1"', "waves is a list"),
        ("wavs = 1", "p.toml: wavs is no key of a plan; write waves if that was meant."),
        ("[shadow]\nfases = 2", "p.toml: shadow.fases is no key of a plan; write shadow.faces if that was meant."),
        ("[shadow.terms]\nx = 2", "shadow.terms.x is no key of a plan; known here are: slower, spacing, sure, unsure."),
        ('approve = ["20%"]', "approve names 20%, and the plan has no such wave; it has shadow, 1, 1%, 10%, 50%, "),
        ('shadow = false\napprove = ["shadow"]', "approve names shadow, and the plan has no such wave"),
        ('windows = ["2-5"]', "the window 2-5 is none; write begin and end in UTC, such as \"02:00-05:00\"."),
        ('windows = ["24:00-05:00"]', "the window 24:00-05:00 is none"),
        ('windows = ["02:00-02:00"]', "the window 02:00-02:00 is none"),
        ('[healthy]\nsoak = "40d"', "p.toml: healthy.soak must be at most 30d; correct this value."),
        ('[healthy]\nsoak = "-5m"', "healthy.soak -5m is no duration; write one such as \"90s\", \"30m\" or \"24h\"."),
        ('[healthy]\nsoak = ""', "healthy.soak  is no duration"),
        ("[healthy]\nsoak = nan", "healthy.soak must"),
        (f"[healthy]\nsoak = 1{'0' * 400}", "healthy.soak must be at most 30d"),
        (f"[shadow]\nfaces = 1{'0' * 400}", "shadow.faces must be"),
        ("[healthy]\nsoak = -1", "healthy.soak must be at least 0s"),
        ('[shadow.terms]\nspacing = "2h"', "shadow.terms.spacing must be at most 1h"),
        ("[shadow]\nagreement = 2", "shadow.agreement 2 is not between 0 and 100 %"),
        ('[shadow]\nagreement = "often"', "shadow.agreement often is no share; write one such as \"10%\" or 0.1."),
        ("[shadow]\nfaces = 0", "shadow.faces must be a whole number of at least 1"),
        ("[shadow]\nfaces = 2.5", "shadow.faces must be a whole number"),
        ("[behaves]\nlatency = 0.5", "behaves.latency must be a number of at least 1"),
        *(
            (f"[{gate}]\n{key} = {value}", f"{gate}.{key} {said} can never be shown, however long one looks")
            for gate, key, value, said in (
                ("shadow", "agreement", '"100%"', "100%"),
                ("shadow", "agreement", "1", "1"),
                ("shadow", "shift", "0", "0"),
                ("shadow", "less_sure", '"0%"', "0%"),
                ("shadow", "swapped", "0.0", "0.0"),
                ("shadow", "slower", "0", "0"),
                ("shadow", "failures", '"0%"', "0%"),
                ("behaves", "errors", "0", "0"),
                ("behaves", "confidence", "0", "0"),
                ("behaves", "mix", "0", "0"),
                ("behaves", "latency", "1", "1"),
            )
        ),
        ("shadow = 200", "shadow is a section; write it as [shadow]."),
        ("installed = false", "the gate installed cannot be left out"),
        ("risk = 0.5", "risk must be a number of at most 0.2"),
        ("waves = [", "p.toml is no TOML"),
        ("\x00", "p.toml is no TOML"),
        ("\"a\\u001bb\" = 1", r"a\x1bb is no key of a plan"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_sentence_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_plan(text.encode(), "p.toml")
    assert said in str(refused.value)
    assert "\n" not in refused.value.problem.partition("no TOML")[0]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_end_in_another_error(text: bytes) -> None:
    with contextlib.suppress(UsageError):
        parse_plan(text, "p.toml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("24h", 86400),
        ("2d", 172800),
        ("1h30m", 5400),
        ("0.5s", 0.5),
        (" 30m ", 1800),
        (7, 7),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text, "soak") == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 m", "1m1h", "½h", True, None, "1e3s"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(UsageError, match="no duration"):
        duration(text, "soak")


@given(st.integers(0, 10**7).map(float) | st.floats(0, 1e6))
def test_a_duration_in_words_is_the_same_duration(seconds: float) -> None:
    assert duration(in_words(seconds), "soak") == seconds
