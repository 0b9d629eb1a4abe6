"""The queue of the updates: what the link, the verifier, the self-test and the commands bring, in order."""

from typing import Final, NamedTuple

from edge_agent.models.selftest import Verdict
from edge_agent.trust.verifier import Answer, UnansweredError
from edge_agent.turns import Worker
from edge_agent.update.events import RollbackAsked


class Envelope(NamedTuple):
    """A desired state, unread."""

    scope: str
    payload: bytes


class Timestamp(NamedTuple):
    """The newest metadata of all, unread."""

    payload: bytes


class MetadataArrived(NamedTuple):
    """A metadata file arrived, which the subscription keeps: look whether it was what is waited for."""


class Verified(NamedTuple):
    """The verifier's answer, or that there is none."""

    answer: Answer | UnansweredError


class Chunk(NamedTuple):
    """A piece of a blob, unread."""

    digest: str
    number: int
    payload: bytes


class Tested(NamedTuple):
    """A self-test ended."""

    test: int
    verdict: Verdict


Item = Envelope | Timestamp | MetadataArrived | Verified | Chunk | Tested | RollbackAsked

Inbox = Worker[Item]
"""What takes them in order."""
LONGEST: Final = 64
"""Items that wait at most, for chunks of 64 KiB are among them: a thread that brings more than is taken waits."""
