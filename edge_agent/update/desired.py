"""Desired states on the device: which to accept, and what they ask of this device. Pure.

A state is accepted when the online key signed it for exactly the scope it arrived for, it has not expired, and its
revision is higher than any seen for that scope: an old one that was recorded cannot be replayed. A group's state may
carry a wave: each device finds out by itself whether it takes part.
"""

from msgspec.structs import replace

from edge_agent.update.events import Target
from edge_contract.errors import TrustError
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState


class ExpiredError(TrustError):
    """It is too late for it, by this device's clock: a clock that was ahead and is set right heals that."""

    def __init__(self, problem: str, *, remedy: str, expires: float) -> None:
        """`expires`: when it did, seconds since 1970."""
        super().__init__(problem, remedy=remedy)
        self.expires = expires


def accept(state: DesiredState, scope: str, known: DesiredState | None, *, now: float) -> DesiredState | None:
    """A verified state that arrived for `scope`; None when it is the known one, repeated.

    Raises:
        TrustError: it is not to be accepted; the text says why. `ExpiredError` where that is all.
    """
    what = f"the desired state of {scope}, revision {state.revision},"
    if state.scope != scope:
        raise TrustError(f"a desired state signed for {state.scope} arrived for {scope}: refused.")
    if state.wave is not None and Scope.parse(scope).kind == "device":
        raise TrustError(
            f"{what} carries a wave, which means nothing for one device: refused",
            remedy="push the release to the device, or begin the wave for a group",
        )
    if known is not None and state.revision < known.revision:
        raise TrustError(
            f"{what} is older than revision {known.revision}, which was seen before: refused",
            remedy="if the release side's folder is an old copy, run `edgewise fleet recover` there",
        )
    if known is not None and state.revision == known.revision:
        if state != known:
            raise TrustError(f"{what} differs from the one seen before under that number: refused.")
        return None
    if state.expires <= now:
        raise ExpiredError(f"{what} has expired: refused", remedy="push again", expires=state.expires)
    return state


def target_of(state: DesiredState, device: str, proven: ModelRef | None) -> Target:
    """What a state in force asks of this device. `proven`: the model that answers here and is on trial no more.

    In shadow a release is compared with what everyone else runs. A device that runs something else, because it was
    asleep or is new, comes to run that first: what it counted against another model could not be added up.
    """
    wave, model = state.wave, state.model
    target = Target(model=model, scope=state.scope, revision=state.revision, retry=state.retry)
    if wave is None or not wave.includes(device):
        return target
    if wave.mode == "active":
        return replace(target, model=wave.model)
    if proven != model:
        return target
    return replace(target, model=wave.model, mode="shadow", shadow=wave.shadow)
