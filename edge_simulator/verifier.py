"""Signatures checked in this process: the device's own code without a child process for each question."""

import threading
from typing import Final

import msgspec

# Imported here and not at the first question: hundreds of threads would wait for one another's import.
from edge_agent.trust import tuf_client  # noqa: F401
from edge_agent.trust.verifier import Question, Verifier
from edge_agent.trust.verify_child import answer
from edge_contract import envelope  # noqa: F401

_AT_ONCE: Final = threading.BoundedSemaphore(2)
"""Questions answered at the same time: more threads than processors only take turns."""


class VerifierInProcess(Verifier):
    """As a device's, and in a hundredth of the time: hundreds of devices do not share one board."""

    def ask(self, question: bytes) -> tuple[int, bytes]:
        """The status and the output that a child would have."""
        with _AT_ONCE:
            return 0, msgspec.msgpack.encode(answer(msgspec.msgpack.decode(question, type=Question)))
