"""Desired states on the device: which to accept, and which of them is in force. Pure.

A state is accepted when the online key signed it for exactly the scope it arrived for, it has not expired, and its
revision is higher than any seen for that scope: an old one that was recorded cannot be replayed.
"""

from collections.abc import Mapping, Sequence

from edge_contract.errors import TrustError
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


def in_force(states: Mapping[str, DesiredState], device: str, groups: Sequence[str]) -> DesiredState | None:
    """The state in force: the device's own, otherwise the one of its groups that was issued last."""
    own = states.get(str(Scope("device", device)))
    if own is not None and not own.follow_group:
        return own
    of_groups = [states[scope] for group in groups if (scope := str(Scope("group", group))) in states]
    return max(of_groups, key=lambda state: (state.issued, state.scope), default=None)
