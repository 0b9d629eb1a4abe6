"""Which devices `edgewise fleet forget` means."""

import pytest

from edge_contract.errors import UsageError
from edge_contract.messages import Availability
from edge_fleet.devices.selection import chosen_to_forget
from edge_fleet.devices.view import Device

KNOWN = {
    name: Device(name, Availability(state=state, session=5))  # type: ignore[arg-type]  # one of the three
    for name, state in (("attic-1", "offline"), ("attic-2", "online"), ("attic-3", "stopped"), ("hall", "offline"))
} | {"broken": Device("broken")}


@pytest.mark.parametrize(
    ("named", "chosen", "online"),
    [
        (["hall"], ["hall"], []),
        (["hall", "attic-1", "hall"], ["attic-1", "hall"], []),
        (["attic-*"], ["attic-1", "attic-3"], ["attic-2"]),
        (["attic-[13]", "broken"], ["attic-1", "attic-3", "broken"], []),
        (["*"], ["attic-1", "attic-3", "broken", "hall"], ["attic-2"]),
    ],
)
def test_names_and_patterns(named: list[str], chosen: list[str], online: list[str]) -> None:
    assert chosen_to_forget(named, KNOWN) == (chosen, online)


@pytest.mark.parametrize(
    ("named", "text"),
    [
        (["hall", "nowhere"], "no device nowhere"),
        (["hall", "attic-2"], "attic-2 is online"),
        (["hall", "cellar-*"], "cellar"),
        (["attic-2*"], "every device that matches is online"),
        (["Hall"], "not usable"),
    ],
)
def test_what_means_no_device_ends_it_before_anything_is_done(named: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        chosen_to_forget(named, KNOWN)
