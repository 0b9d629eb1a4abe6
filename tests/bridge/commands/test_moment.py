"""Times as people write them: each form means one moment, and anything else is a sentence."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from edge_bridge.commands.moment import moment, shown, zone_name
from edge_contract.errors import UsageError

NOW = datetime(2026, 11, 28, 20, 0, 0, tzinfo=UTC)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine there."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "utc", "meant"),
    [
        ("2026-11-28T20:00Z", False, "2026-11-28T20:00+00:00"),
        ("2026-11-28T20:00:30.5+02:00", False, "2026-11-28T18:00:30.5+00:00"),
        ("2026-11-28T20:00", True, "2026-11-28T20:00+00:00"),
        ("2026-11-28T20:00", False, "2026-11-28T19:00+00:00"),
        ("2026-07-01T20:00", False, "2026-07-01T18:00+00:00"),  # summer there, whatever is now
        ("2026-11-28 20:00", True, "2026-11-28T20:00+00:00"),
        ("2026-11-28", False, "2026-11-27T23:00+00:00"),
        ("90m", False, "2026-11-28T18:30+00:00"),
        ("2d", True, "2026-11-26T20:00+00:00"),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_a_time_means_one_moment(text: str, utc: bool, meant: str) -> None:
    now = NOW if utc else NOW.astimezone()
    assert moment(text, "--from", now) == datetime.fromisoformat(meant).timestamp()


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "20:00", "-2h", "9999999h", "2h ago", "1e9", "0001-01-01"]
)
@pytest.mark.usefixtures("berlin")
def test_what_is_no_time_is_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"--from .* is no time; write it as 2026-11-28, "):
        moment(text, "--from", NOW.astimezone())


@pytest.mark.usefixtures("berlin")
def test_the_zone_shown_is_that_of_the_day() -> None:
    summer = datetime(2026, 7, 1, 18, tzinfo=UTC).timestamp()
    assert (shown(summer, utc=False), zone_name(summer, utc=False)) == (
        "2026-07-01 20:00:00", "local time (UTC+02:00)"
    )  # fmt: skip
    assert (shown(summer, utc=True), zone_name(summer, utc=True)) == ("2026-07-01 18:00:00", "UTC")
