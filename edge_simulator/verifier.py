"""Signatures checked in this process: the device's own code without a child process for each question."""

import msgspec

# Imported here and not at the first question, which would hold every other device up.
from edge_agent.trust import tuf_client  # noqa: F401
from edge_agent.trust.verifier import Question, Verifier
from edge_agent.trust.verify_child import answer
from edge_contract import envelope  # noqa: F401


class VerifierInProcess(Verifier):
    """As a device's, and in a hundredth of the time: hundreds of devices do not share one board."""

    def ask(self, question: bytes) -> tuple[int, bytes]:
        """The status and the output that a child would have."""
        return 0, msgspec.msgpack.encode(answer(msgspec.msgpack.decode(question, type=Question)))
