"""Signed commands to one device: issued, sent, answered. What they do there is the agent's."""

import queue
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from edge_contract import topics
from edge_contract.envelope import seal
from edge_contract.errors import EdgewiseError
from edge_contract.messages import Command, CommandResult, decode
from edge_contract.trust import COMMAND_TYPE, SignedCommand
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.repository import Repository

LIFE_S: Final = 24 * 3600.0
"""How long a device that is away may take to do it: its broker keeps the command for it."""


class DeviceCommands:
    """Commands signed by the repository's online key, over one link."""

    def __init__(self, repository: Repository, link: Link, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since 1970."""
        self._repository, self._link, self._now = repository, link, now

    def send(self, device: str, command: Command, wait_s: float) -> CommandResult:
        """Send a command and wait for the device's answer.

        Raises:
            UsageError: this cannot be a device's id.
            EdgewiseError: no answer came in time; the command stands until it expires.
        """
        now = self._now()
        number = f"{int(now)}-{secrets.token_hex(4)}"
        signed = SignedCommand(device=device, id=number, command=command, issued=now, expires=now + LIFE_S)
        answers = queue.Queue[Arrived]()
        self._link.subscribe(topics.command_result(device, number), answers.put)
        envelope = seal(signed, COMMAND_TYPE, self._repository.online_signer())
        # Not retained: the device's durable session keeps it while the device is away, and gives it out once.
        self._link.publish([Arrived(topics.command(device, number), envelope)], retain=False)
        try:
            return decode(answers.get(timeout=wait_s).payload, CommandResult)
        except queue.Empty:
            raise EdgewiseError(
                f"{device} did not answer within {wait_s:g} s",
                remedy="see `edgewise fleet ls`: a device that is back within a day still does it",
            ) from None


def arguments_of(assignments: list[str]) -> Mapping[str, str | int | float | bool]:
    """`KEY=VALUE` words as a command's arguments; a value that reads as a number, true or false is one.

    Raises:
        EdgewiseError: a word has no `=`.
    """
    found: dict[str, str | int | float | bool] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not key or not equals:
            raise EdgewiseError(f"{assignment!r} is no KEY=VALUE", remedy="write it as in telemetry.interval_s=5")
        found[key] = _value(text)
    return found


def _value(text: str) -> str | int | float | bool:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
