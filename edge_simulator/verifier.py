"""Signatures checked in this process: the device's own code without a child process for each question."""

import msgspec

from edge_agent.trust.verifier import Question, Verifier
from edge_agent.trust.verify_child import answer


class VerifierInProcess(Verifier):
    """As a device's, and in a hundredth of the time: a thousand devices do not share one board."""

    def ask(self, question: bytes) -> tuple[int, bytes]:
        """The status and the output that a child would have."""
        return 0, msgspec.msgpack.encode(answer(msgspec.msgpack.decode(question, type=Question)))
