"""Signed commands from the release side: verified, done once, answered.

Rules:
- Nothing of a command is read before a key that the trusted root names for desired states has signed it; it counts
  for this device and the id of its topic only, and only until it expires.
- Its id is on the disk before it is done. A command that is delivered again, or recorded and replayed, is refused:
  without this, a replayed `restart` would restart the agent until it expires.
- What is not accepted gets no answer, and a pause that doubles: checking a signature takes a process, and a flooded
  topic must not keep the board busy with that. What was refused is known by its digest, and costs nothing again.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.mqtt.link import Link
from edge_agent.trust.verifier import UnansweredError
from edge_contract import limits, topics
from edge_contract.bounded_read import read_file
from edge_contract.durable import write_file
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.manifest import digest_of
from edge_contract.messages import CommandResult, encode
from edge_contract.trust import SignedCommand

Arguments = Mapping[str, str | int | float | bool]
Action = Callable[[Arguments], str]
"""Does a command and returns what came of it, one sentence; raises EdgewiseError when it could not."""

LONGEST_LIFE_S: Final = 7 * 86400.0
"""A command that could be replayed for longer than a week is not accepted, so ids need not be kept for longer."""
_ATTEMPTS: Final = 3
"""To have a signature checked, by a process that may be killed for memory: no broker brings the command again."""
_WAITING: Final = 8
_PAUSE_S: Final = 0.2
"""After a command that was not accepted; doubled for each further one in a row."""
_LONGEST_PAUSE_S: Final = 30.0
_REFUSED: Final = 256  # digests of refused commands
_KEPT: Final = 1000  # ids; the release side sends a handful a day
_log = logging.getLogger(__name__)


def accept(
    signed: SignedCommand, *, device: str, command_id: str, now: float, done: Mapping[str, float]
) -> SignedCommand:
    """Hold a verified command against the device and id of its topic, its life and `done`, the ids done before.

    Raises:
        TrustError: it is for another device or id, has expired, lives too long, or was done before.
    """
    if (signed.device, signed.id) != (device, command_id):
        raise TrustError(f"command {signed.id} for {signed.device} arrived as {command_id} for {device}: refused.")
    if not now < signed.expires <= signed.issued + LONGEST_LIFE_S:
        raise TrustError(f"command {command_id} has expired or lives longer than a week: refused.")
    if command_id in done:
        raise TrustError(f"command {command_id} was done before: not done again.")
    return signed


class Commands:
    """Subscribes on the device's durable session and does the commands one after the other, on its own thread."""

    def __init__(
        self,
        device: str,
        link: Link,
        *,
        unseal: Callable[[bytes], SignedCommand],
        now: Callable[[], float],
        actions: Mapping[str, Action],
        memory: Path,
    ) -> None:
        """`unseal`: as `ModelUpdates.unseal_command`; `now`: trusted time; `memory`: the file of ids done."""
        self._device, self._link, self._unseal, self._now = device, link, unseal, now
        self._actions, self._memory = actions, memory
        self._done = _read(memory)
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_WAITING)
        self._refused: dict[str, None] = {}  # digests, oldest first
        self._pause = _PAUSE_S
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)
        link.subscribe(topics.command(device, "x").removesuffix("x") + "+", self._received)

    def start(self) -> None:
        """Start the thread; commands that came before are done first."""
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why no command is done any more; empty while they are."""
        ended = self._thread.ident is not None and not self._thread.is_alive()
        return "the thread of the commands ended: restart the agent." if ended else ""

    def stop(self) -> None:
        """End after the command under way."""
        self._ending.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _received(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        if not isinstance(parsed, topics.DeviceTopic) or parsed.command is None or not payload:
            return
        try:
            self._waiting.put_nowait((parsed.command, payload))
        except queue.Full:
            _log.warning("command %s came while %d others wait: dropped", parsed.command, _WAITING)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None and not self._ending.is_set():
            try:
                self._take(*item)
            except Exception:  # noqa: BLE001  # the thread must not end: no command would be done any more
                _log.exception("command %s failed", item[0])

    def _take(self, command_id: str, payload: bytes) -> None:
        digest = digest_of(command_id.encode() + b"/" + payload)
        if digest in self._refused:
            return
        try:
            signed = self._accepted(command_id, payload)
        except (EdgewiseError, OSError) as error:
            _log.warning("%s", error)
            if isinstance(error, TrustError) and not isinstance(error, UnansweredError):
                self._refused[digest] = None
                if len(self._refused) > _REFUSED:
                    del self._refused[next(iter(self._refused))]
            self._ending.wait(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
            return
        self._pause = _PAUSE_S
        result = self._do(signed)
        _log.info("command %s (%s): %s", command_id, signed.command.name, result.detail)
        self._link.publish(topics.command_result(self._device, command_id), encode(result))

    def _accepted(self, command_id: str, payload: bytes) -> SignedCommand:
        signed, now = self._verified(payload), self._now()
        accept(signed, device=self._device, command_id=command_id, now=now, done=self._done)
        alive = {known: expires for known, expires in self._done.items() if expires > now}
        if len(alive) >= _KEPT:
            raise TrustError(f"command {command_id} is one too many: {_KEPT} are remembered and none has expired.")
        done = {**alive, command_id: signed.expires}
        write_file(self._memory, msgspec.json.encode(done))
        self._done = done
        return signed

    def _verified(self, payload: bytes) -> SignedCommand:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._unseal(payload)
            except UnansweredError as error:
                if attempt == _ATTEMPTS:
                    raise
                _log.warning("%s", error)
        raise AssertionError("the last attempt returns or raises")

    def _do(self, signed: SignedCommand) -> CommandResult:
        action = self._actions.get(signed.command.name)
        if action is None:
            return CommandResult(ok=False, detail=f"this agent has no command {signed.command.name}.")
        try:
            return CommandResult(ok=True, detail=action(signed.command.arguments)[:1024])
        except (EdgewiseError, OSError) as error:
            return CommandResult(ok=False, detail=str(error)[:1024])


def _read(memory: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(read_file(memory, limits.DOCUMENT_BYTES), type=dict[str, float])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("%s cannot be read (%s): commands done before this start may be done once more", memory, error)
        return {}
