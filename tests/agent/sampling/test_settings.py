"""What may be asked for in `[sampling]`, and that nothing but a person at the file, and a restart, can begin it."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent import settings_file
from edge_agent.sampling.sentence import in_words
from edge_agent.sampling.settings import NO_CONSENT, ConsentSettings, SamplingSettings, narrowed
from edge_agent.settings import RELOADABLE, Settings
from edge_contract.errors import UsageError

CONSENT = """
[sampling]
key = "labels.pub"
[sampling.consent]
by = "Ada, shop 12"
given = 2026-11-01
until = 2027-11-01T00:00:00+01:00
purpose = "to find out why it takes grins for grimaces"
"""
RUNNING = SamplingSettings(
    key=Path("labels.pub"), consent=ConsentSettings(by="Ada", given=100.0, until=1000.0, purpose="x")
)


def read(text: str, folder: Path) -> Settings:
    path = folder / "agent.toml"
    path.write_text(text)
    return settings_file.load(path, {"STATE_DIRECTORY": str(folder / "state")}, hostname="pi")


def utc(year: int, month: int, day: int, hour: int = 0) -> float:
    return datetime.datetime(year, month, day, hour, tzinfo=datetime.UTC).timestamp()


def test_without_a_consent_nothing_is_sampled_whatever_else_is_set(tmp_path: Path) -> None:
    assert not read("", tmp_path).sampling.consent.stated
    assert not read('[sampling]\nkey = "labels.pub"\nshare = 1.0\n', tmp_path).sampling.consent.stated


def test_a_consent_is_read_with_its_dates(tmp_path: Path) -> None:
    consent = read(CONSENT, tmp_path).sampling.consent
    assert (consent.given, consent.until) == (utc(2026, 11, 1), utc(2027, 10, 31, 23))
    as_texts = CONSENT.replace("2026-11-01", '"2026-11-01"').replace("2027-11-01T00:00:00+01:00", '"2027-10-31T23:00Z"')
    assert read(as_texts, tmp_path).sampling.consent == consent


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('by = "Ada, shop 12"\n', "", "sampling.consent is no record of a consent; state by, given, until and purpose"),
        ("given = 2026-11-01\n", "", "no record of a consent"),
        ("until = 2027-11-01T00:00:00+01:00\n", "", "no record of a consent"),
        ('key = "labels.pub"\n', "", "sampling.consent needs sampling.key"),
        ("2026-11-01", "2028-11-01", "sampling.consent.until is before sampling.consent.given"),
        ("+01:00", "", "sampling.consent.until is no date after 1970, and no time with its offset"),
        ("2026-11-01", "1790000000", "sampling.consent.given is no date"),
        ("2026-11-01", '"soon"', "sampling.consent.given is no date"),
        ('"Ada, shop 12"', '"a\\nb"', "sampling.consent.by must be one line of at most 256 characters"),
        ('"Ada, shop 12"', f'"{"a" * 257}"', "sampling.consent.by must be one line"),
        ("[sampling]\n", "[sampling]\nenabled = true\n", "sampling.enabled is no setting"),
        ("[sampling]\n", "[sampling]\nper_day = 0\n", "sampling.per_day must be a whole number of at least 1"),
    ],
)
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in CONSENT
    with pytest.raises(UsageError) as caught:
        read(CONSENT.replace(old, new), tmp_path)
    assert sentence in str(caught.value)
    assert "agent.toml" in str(caught.value)


def test_no_command_from_afar_can_change_a_key_of_sampling(tmp_path: Path) -> None:
    assert not [key for key in RELOADABLE if key.startswith("sampling")]
    before = read(CONSENT, tmp_path)
    file = settings_file.SettingsFile(tmp_path / "agent.toml", {"STATE_DIRECTORY": str(tmp_path / "state")})
    for key, value in {"sampling.share": 1.0, "sampling.key": "x", "sampling.consent.until": "2099-01-01"}.items():
        with pytest.raises(UsageError, match="set-config cannot change"):
            file.override({key: value})
    # Nor can what such a command left, were it written by hand.
    before.device.state_dir.mkdir()
    (before.device.state_dir / settings_file.OVERRIDES).write_text('{"sampling.share": 1.0}')
    assert file.read().sampling == before.sampling


@pytest.mark.parametrize(
    ("changes", "consent"),
    [
        ({}, {}),
        ({"until": 500.0}, {"until": 500.0}),
        ({"until": 5000.0}, {}),
        ({"by": "Bob"}, None),
        ({"given": 101.0}, None),
        ({"purpose": "y"}, None),
    ],
)
def test_a_reload_shortens_or_withdraws_a_consent_and_never_lengthens_or_replaces_it(
    changes: dict[str, object], consent: dict[str, float] | None
) -> None:
    expected = NO_CONSENT if consent is None else replace(RUNNING.consent, **consent)
    found = narrowed(RUNNING, replace(RUNNING, consent=replace(RUNNING.consent, **changes)))  # type: ignore[arg-type]
    assert found == replace(RUNNING, consent=expected)


def test_a_reload_without_the_consent_or_with_another_key_withdraws_it() -> None:
    assert narrowed(RUNNING, SamplingSettings()).consent == NO_CONSENT
    assert narrowed(RUNNING, replace(RUNNING, key=Path("other.pub"))).consent == NO_CONSENT


@settings(max_examples=40)
@given(st.data())
def test_no_sequence_of_reloads_begins_or_prolongs_sampling(data: st.DataObject) -> None:
    ends = st.sampled_from([500.0, 1000.0, 2000.0])
    consents = st.just(NO_CONSENT) | st.builds(
        ConsentSettings, by=st.sampled_from(["Ada", "Bob"]), given=st.just(100.0), until=ends, purpose=st.just("x")
    )
    states = st.builds(
        SamplingSettings,
        key=st.sampled_from([Path("labels.pub"), Path("other.pub")]),
        consent=consents,
        share=st.just(1.0),
    )
    now = data.draw(states)
    for read_again in data.draw(st.lists(states, max_size=6)):
        after = narrowed(now, read_again)
        assert not after.consent.stated or after.consent == replace(now.consent, until=after.consent.until)
        assert after.consent.until <= now.consent.until
        assert (after.key, after.share) == (now.key, now.share)
        now = after


def test_a_reload_says_that_the_rest_needs_a_restart(tmp_path: Path) -> None:
    running = read(CONSENT, tmp_path)
    taken, restart = settings_file.reloaded(running, read(CONSENT.replace("Ada, shop 12", "Bob"), tmp_path))
    assert not taken.sampling.consent.stated
    assert "sampling.consent.by" in restart
    taken, restart = settings_file.reloaded(running, read("", tmp_path))
    assert not taken.sampling.consent.stated
    assert not [key for key in restart if key.startswith("sampling.consent")]


def test_the_sentence_says_for_whom_until_when_and_how_much_or_why_not() -> None:
    assert in_words(SamplingSettings(), 500.0).startswith("off: no consent is stated")
    assert in_words(RUNNING, 1000.0) == "off: the consent of Ada ended 1970-01-01 00:16 UTC"
    sentence = in_words(RUNNING, 500.0)
    for part in ("Ada", "until 1970-01-01 00:16 UTC", "for: x", "1 % of faces by chance", "400 a day"):
        assert part in sentence
    assert "from 1970-01-01 00:01 UTC on" in in_words(RUNNING, 50.0)
