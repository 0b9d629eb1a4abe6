"""Watch devices take up a desired state, and answer those that miss chunks meanwhile."""

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_contract import topics
from edge_contract.errors import MessageError
from edge_contract.messages import Need, decode
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState
from edge_fleet.devices.view import Device, Fleet
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.publish import Publisher

_GATHER_S = 1.0  # after subscribing, how long a slow broker may take to deliver its retained messages


@dataclass(slots=True)
class Outcomes:
    """Where the devices of a scope ended; reasons and states by device."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)


def read_fleet(link: Link) -> Fleet:
    """The fleet by the messages that the broker retains now."""
    fleet = Fleet()
    for leaf in ("availability", "info", "reported"):
        for topic, payload in link.retained(topics.all_devices(leaf)).items():
            fleet.apply(topic, payload)
    return fleet


def wait_for(
    publisher: Publisher, state: DesiredState, seconds: float, show: Callable[[list[Device]], None]
) -> Outcomes:
    """Return when every online device of the state's scope runs the model or refused it, or after `seconds`."""
    fleet, inbox, scope = Fleet(), queue.Queue[Arrived](), Scope.parse(state.scope)
    for leaf in ("info", "availability", "reported", "need"):
        publisher.link.subscribe(topics.all_devices(leaf), inbox.put)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        with contextlib.suppress(queue.Empty):
            arrived = inbox.get(timeout=0.2)
            answer_need(publisher, arrived)
            fleet.apply(*arrived)
            continue
        concerned = fleet.in_scope(scope)
        show(concerned)
        online = [device for device in concerned if device.online]
        gathered = online or time.monotonic() - began > _GATHER_S
        if gathered and all(device.outcome(state.model, state.revision) != "pending" for device in online):
            break
    return _outcomes(fleet.in_scope(scope), state)


def answer_need(publisher: Publisher, arrived: Arrived) -> int:
    """Publish the chunks that a `need` message asks for; anything else, or a malformed one, is 0 chunks."""
    match topics.parse(arrived.topic):
        case topics.DeviceTopic(leaf="need") if arrived.payload:
            with contextlib.suppress(MessageError):
                return publisher.answer(decode(arrived.payload, Need))
    return 0


def _outcomes(devices: list[Device], state: DesiredState) -> Outcomes:
    outcomes = Outcomes()
    for device in devices:
        reported = device.reported
        match device.outcome(state.model, state.revision):
            case "done":
                outcomes.done.append(device.id)
            case "refused":
                outcomes.refused[device.id] = (
                    reported.reason if reported else ""
                ) or "it follows another desired state"
            case "pending" if device.online:
                outcomes.pending[device.id] = reported.state if reported else "nothing reported yet"
            case "pending":
                pass  # offline: it takes the state up when it connects
    return outcomes
