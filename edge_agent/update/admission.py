"""May this device take up this release? Pure: everything that speaks for or against it is passed in."""

from typing import Final

from edge_agent.trust.listed import TrustedMetadata
from edge_agent.update.events import Admitted, AlreadyRunning, Confirmed, Refused, Target
from edge_agent.update.store import Failure
from edge_contract.errors import TrustError
from edge_contract.messages import ModelRef

RESERVE_BYTES: Final = 32 * 1024 * 1024
"""What stays free beside a model: the spool, the databases and the logs must go on."""


def admit(
    target: Target, metadata: TrustedMetadata, *, running: ModelRef | None, failure: Failure | None, free: int
) -> Admitted | AlreadyRunning | Refused:
    """Judge a target before anything is downloaded.

    `running`: the release that runs and proved itself; the same file under another manifest is another release.
    `failure`: how this model failed here before. `free`: bytes free on the disk of the state directory.
    """
    try:
        release = metadata.release(target.model)
    except TrustError as error:
        return Refused(str(error), blame=False)
    if running == target.model:
        return AlreadyRunning()
    name = f"{target.model.name} {target.model.release}"
    if failure is not None and target.retry <= failure.revision:
        return Refused(f"{name} failed on this device before: {failure.reason}", blame=False)
    if free < release.size + RESERVE_BYTES:
        return Refused(
            f"{name} needs {release.size + RESERVE_BYTES:,} bytes of disk and {free:,} are free.",
            blame=False,
            passing=True,
        )
    return Admitted()


def confirm(target: Target, metadata: TrustedMetadata) -> Confirmed | Refused:
    """Judge it again before it is run: it may have been withdrawn while it came."""
    try:
        metadata.release(target.model)
    except TrustError as error:
        return Refused(str(error), blame=False)
    return Confirmed()
