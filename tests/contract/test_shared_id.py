"""For how long two devices are said to have one id."""

import pytest

from edge_contract import shared_id


@pytest.mark.parametrize(
    ("seen", "now", "holds"),
    [
        (0.0, 0.0, False),
        (0.0, 1e9, False),
        (1e9, 1e9, True),
        (1e9, 1e9 + shared_id.LIFE_S, True),
        (1e9, 1e9 + shared_id.LIFE_S + 1, False),
        (1e9 + 60, 1e9, True),
        (2e9, 1e9, False),
    ],
)
def test_what_was_seen_counts_for_a_while_and_never_from_a_far_year(seen: float, now: float, holds: bool) -> None:
    assert shared_id.holds(seen, now) is holds
