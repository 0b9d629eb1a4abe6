"""The verifying child: signed bytes on standard input, what holds of them on standard output, and gone.

`python -m edge_agent.trust.verify_child`: the libraries that check signatures cost the agent 14 MB of resident memory
and are needed a few times a week. Here they live for a second. The child limits itself before it reads a byte; what it
writes on the disk is verified metadata alone. The parent accepts nothing but a whole answer of a child that ended
well.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.trust.verifier import Answer, Opened, Question
from edge_contract import limits
from edge_contract.errors import EdgewiseError, TrustError

CPU_SECONDS: Final = 60
"""In all; the slowest supported board needs about five for the imports."""
_MORE_MEMORY: Final = 128 * 1024 * 1024  # bytes of data beyond the bare interpreter; a usual question takes 25
_LONGEST_QUESTION: Final = 16 * 1024 * 1024
_NICENESS: Final = 5  # the pipeline goes first
_SIGN_IN_CLOUDS: Final = ("boto3", "azure.core", "google.cloud")
"""What securesystemslib would load to *sign* with, where it is installed: boto3 takes longer than all that verifies."""


def answer(question: Question) -> Answer:
    """Verify the metadata that came, then the envelopes by the keys that the newest root names."""
    from edge_agent.trust.tuf_client import Trust  # noqa: PLC0415 - under the limits that were set meanwhile
    from edge_contract.envelope import verified  # noqa: PLC0415

    try:
        trust = Trust(Path(question.directory), question.root)
    except EdgewiseError as error:
        return Answer(refused=str(error), opened=tuple(Opened(refused=str(error)) for _ in question.envelopes))
    with contextlib.closing(trust):
        metadata, refused = None, ""
        try:
            metadata = trust.refresh(question.files, question.system, question.signed)
        except EdgewiseError as error:
            refused = str(error)
        opened: list[Opened] = []
        for sealed in question.envelopes:
            try:
                held = verified(sealed.envelope, sealed.type, trust.online_keys, trust.online.threshold)
                opened.append(Opened(payload=held.payload, signers=held.signers))
            except TrustError as error:
                opened.append(Opened(refused=str(error)))
        return Answer(metadata=metadata, refused=refused, opened=tuple(opened), online=trust.online)


def main() -> int:
    """Answer one question; a status other than 0 says nothing about what was asked."""
    _limit_everything()
    sys.modules.update(dict.fromkeys(_SIGN_IN_CLOUDS))  # type: ignore[arg-type]  # None: Python's way of "not installed"
    data = sys.stdin.buffer.read(_LONGEST_QUESTION + 1)
    if len(data) > _LONGEST_QUESTION:
        return 1
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer(msgspec.msgpack.decode(data, type=Question))))
    return 0


def _limit_everything() -> None:
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.METADATA_BYTES, limits.METADATA_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (_MORE_MEMORY, _MORE_MEMORY))


if __name__ == "__main__":
    sys.exit(main())
