"""Has signatures checked: by a child process (`verify`) that lives for one question, so this one needs no cryptography.

A child that is killed, crashes, hangs or answers half has verified nothing: the caller asks again later. One child
at a time. Whether what holds is accepted, an older revision or another device's command, is the caller's decision.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from edge_agent.trust.clock import SignedTime, TrustedClock
from edge_agent.trust.evidence import KeyIds, OnlineKeys, first_online_keys
from edge_agent.trust.listed import TrustedMetadata
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.trust import read_payload

WALL_SECONDS: Final = 120.0
"""When a child is given up, asleep or swapped out; one that computes for ever meets its CPU limit before."""
COMMAND: Final = (sys.executable, "-P", "-B", "-m", "edge_agent.trust.verify_child")
_INHERITED: Final = frozenset({"PATH", "PYTHONPATH", "LANG", "TMPDIR"})
S = TypeVar("S", bound=Struct)


class Sealed(Struct, frozen=True):
    """An envelope as it arrived."""

    type: str
    """The payload type it must have."""
    envelope: bytes


class Question(Struct, frozen=True, kw_only=True):
    """What a child is asked."""

    directory: str
    """Where verified metadata is kept."""
    root: bytes
    """The installation's root metadata."""
    system: float
    """What the board's clock says, seconds since 1970."""
    signed: SignedTime
    """The time it is at least, if the keys that signed it still count: under the root that the child comes to."""
    files: dict[str, bytes]
    """Metadata as it arrived, by TUF's file names; none is a question to what was kept."""
    envelopes: tuple[Sealed, ...] = ()


class Opened(Struct, frozen=True, kw_only=True):
    """What became of an envelope: the payload that was signed, or why it is refused."""

    payload: bytes = b""
    refused: str = ""
    signers: KeyIds = ()
    """Ids of the keys whose signatures were needed."""


class Answer(Struct, frozen=True, kw_only=True):
    """What holds."""

    metadata: TrustedMetadata | None = None
    refused: str = ""
    """Why there is no metadata."""
    opened: tuple[Opened, ...] = ()
    """As the envelopes were given."""
    online: OnlineKeys = OnlineKeys()
    """Whom the newest root names, also where there is no metadata: what others signed before counts no longer."""


class UnansweredError(EdgewiseError):
    """The child came to no answer: nothing is known about what was asked, which can be asked again."""


class Verifier:
    """Asks one child after the other; usable from any thread."""

    def __init__(self, directory: Path, root: bytes, command: Sequence[str] = COMMAND) -> None:
        """`directory`: where verified metadata is kept; `root`: the installation's root metadata.

        Raises:
            EdgewiseError: that is no root metadata.
        """
        self._directory, self._root, self._command = directory, root, tuple(command)
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False
        try:
            self.first_keys: Final = first_online_keys(root)
        except ValueError:
            raise EdgewiseError(
                "the root metadata of this device cannot be used", remedy="install root.json again"
            ) from None

    def verify(self, clock: TrustedClock, files: Mapping[str, bytes], envelopes: Sequence[Sealed] = ()) -> Answer:
        """Ask, and wait for the answer: about a second on a Raspberry Pi.

        Raises:
            UnansweredError: the child did not come to one.
        """
        question = Question(
            directory=str(self._directory),
            root=self._root,
            system=clock.system(),
            signed=clock.signed(),
            files=dict(files),
            envelopes=tuple(envelopes),
        )
        with self._turn:
            status, output = self.ask(msgspec.msgpack.encode(question))
        return read_answer(status, output, len(envelopes))

    def unseal(self, clock: TrustedClock, sealed: Sealed, kind: type[S]) -> S:
        """What one envelope holds, if a key that the trusted root names for `timestamp` signed it.

        Raises:
            TrustError: its signature does not hold.
            UnansweredError: nothing is known about it.
        """
        (opened,) = self.verify(clock, {}, [sealed]).opened
        if opened.refused:
            raise TrustError(opened.refused)
        return read_payload(opened.payload, sealed.type, kind)

    def stop(self) -> None:
        """Kill the child that runs; the call that waits raises `UnansweredError`, and every later one too."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.kill()

    def ask(self, question: bytes) -> tuple[int, bytes]:
        """The status and the output of a child that was given this; a rehearsal of many devices needs no child.

        Raises:
            UnansweredError: none could be started, or it did not end.
        """
        with self._lock:
            if self._stopped:
                raise UnansweredError("the agent is ending: nothing is verified any more.")
            try:
                child = self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={name: value for name, value in os.environ.items() if name in _INHERITED},
                    start_new_session=True,
                )
            except OSError as error:
                raise UnansweredError(f"no process could be started to verify signatures ({error}).") from error
        try:
            output, _ = child.communicate(question, timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise UnansweredError(f"verifying signatures did not end within {WALL_SECONDS:g} s.") from None
        finally:
            with self._lock:
                self._child = None
        return child.returncode, output


def read_answer(status: int, output: bytes, envelopes: int) -> Answer:
    """The answer of an ended child. Only a whole one, of a child that ended well, counts.

    Raises:
        UnansweredError: any other.
    """
    if status != 0:
        raise UnansweredError(f"verifying signatures ended with status {status} and no answer: it is tried again.")
    try:
        answer = msgspec.msgpack.decode(output, type=Answer)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnansweredError("verifying signatures ended without a whole answer: it is tried again.") from error
    if len(answer.opened) != envelopes:
        raise UnansweredError("verifying signatures ended without a whole answer: it is tried again.")
    return answer
