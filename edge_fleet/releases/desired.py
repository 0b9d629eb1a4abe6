"""Desired states on the release side: issued with a revision that only grows, kept as they were signed.

One file a scope under `desired/`. It is written before anything is published, so that a killed push can be repeated
but never taken back by a smaller revision. All of it happens under the repository's lock, and so does publication.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securesystemslib.signer import Key

from edge_contract import durable, limits
from edge_contract.bounded_read import read_file
from edge_contract.envelope import seal, unseal
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_contract.trust import DESIRED_TYPE, DesiredState
from edge_contract.wave import Wave
from edge_fleet.releases.metadata_folder import PUBLIC
from edge_fleet.releases.repository import Repository

LAST_REVISION: Final = 2**53
LIFE: Final = 30 * 24 * 3600.0  # seconds a device may be away and still accept what was desired; refresh prolongs it
_APART_S: Final = 0.001  # between states whose time of asking was in the future
_FAR_AHEAD_S: Final = 24 * 3600.0  # revisions count from the clock: further ahead is a thief's or a wrong clock's


@dataclass(frozen=True, slots=True)
class Issued:
    """A desired state and its envelope."""

    state: DesiredState
    envelope: bytes
    revoked: bool = False
    """An earlier online key signed it: no device takes it, until it is issued again."""

    @property
    def topic(self) -> str:
        """Where it is retained."""
        return Scope.parse(self.state.scope).topic

    @property
    def digests(self) -> frozenset[str]:
        """Of what it makes devices run: its model, and while a wave tries another, that too."""
        wave = self.state.wave
        return frozenset({self.state.model.digest} if wave is None else {self.state.model.digest, wave.model.digest})


@dataclass(frozen=True, slots=True)
class DesiredStates:
    """The newest desired state of each scope."""

    repository: Repository
    now: Callable[[], float] = time.time

    def issue(
        self,
        scope: str,
        model: ModelRef,
        *,
        wave: Wave | None = None,
        follow_group: bool = False,
        retry: bool = False,
        retried: int = 0,
        issued: float | None = None,
    ) -> Issued:
        """Sign and keep a new desired state for `group/<id>` or `device/<id>`.

        `wave`: the group's devices that try another release than `model`; without one, a wave that stood there ends.
        `retry`: devices where this model failed before try it once more. `retried`: the revision that last asked so.
        `issued`: when this was first asked for, if not now: of two groups the one asked for last counts.

        Raises:
            UsageError: a wave for one device.
            EdgewiseError: the online key is not here, the clock cannot be right, or no revision is left.
        """
        if wave is not None and Scope.parse(scope).kind == "device":
            raise UsageError(f"{scope} is one device, and a wave is some of a group's", remedy="push to it without one")
        with self.repository.locked():
            last = self._last_revision(scope)
            now = self.now()
            # Counted from the clock, so that a release side restored from an old backup goes on above what it lost.
            revision = max(last + 1, int(now))
            if revision > LAST_REVISION:
                raise EdgewiseError(
                    f"{scope} has the last revision there is ({last}), which only a stolen online key signs",
                    remedy="run `edgewise fleet recover --new-online-key` with the root keys",
                )
            state = DesiredState(
                scope=scope,
                revision=revision,
                model=model,
                issued=now if issued is None else issued,
                expires=now + LIFE,
                follow_group=follow_group,
                retry=revision if retry else retried,
                wave=wave,
            )
            envelope = seal(state, DESIRED_TYPE, self.repository.online_signer())
            self.keep(scope, envelope)
            return Issued(state, envelope)

    def keep(self, scope: str, envelope: bytes) -> None:
        """Write a verified state down as the newest of its scope."""
        durable.write_file(self._path(scope), envelope, mode=PUBLIC, parents=True)

    def all(self) -> list[Issued]:
        """The newest state of every scope, verified.

        Raises:
            TrustError: a file is damaged.
        """
        keys = self._keys()
        return [_read(path, *keys) for path in sorted((self.repository.directory / "desired").glob("*.json"))]

    def of(self, scope: str) -> Issued | None:
        """The newest state of one scope, verified; None where nothing was ever desired there.

        Raises:
            TrustError: its file is damaged.
        """
        path = self._path(scope)
        return _read(path, *self._keys()) if path.exists() else None

    def reissue(self, states: list[Issued]) -> list[Issued]:
        """Issue states again, with a new life and in the order in which they were asked for.

        A time in the future, signed by a wrong clock, becomes now, or that group would win over all others until then.
        """
        now = self.now()
        ordered = sorted((one.state for one in states), key=lambda state: (state.issued, state.scope))
        return [
            self.issue(
                old.scope,
                old.model,
                wave=old.wave,
                follow_group=old.follow_group,
                retried=old.retry,
                issued=min(old.issued, now - (len(ordered) - place) * _APART_S),
            )
            for place, old in enumerate(ordered)
        ]

    def renew(self) -> list[Issued]:
        """Issue again each state that has less than half of its life before it, or that a replaced key signed."""
        return self.reissue(
            [one for one in self.all() if one.revoked or one.state.expires - self.now() < LIFE / 2],
        )

    def _keys(self) -> tuple[list[Key], list[Key]]:
        """Those in force, and those of every root so far."""
        return self.repository.online_keys(), self.repository.past_online_keys()

    def _last_revision(self, scope: str) -> int:
        try:
            last = self.of(scope)
        except TrustError:
            return 0  # the clock alone carries on
        if last is None or (last.revoked and last.state.revision > self.now() + _FAR_AHEAD_S):
            return 0  # devices forgot it together with the key that signed it
        return last.state.revision

    def _path(self, scope: str) -> Path:
        to = Scope.parse(scope)
        return self.repository.directory / "desired" / f"{to.kind}-{to.name}.json"


def _read(path: Path, online: list[Key], past: list[Key]) -> Issued:
    envelope = read_file(path, limits.MESSAGE_BYTES)
    for keys, revoked in ((online, False), (past, True)):
        with contextlib.suppress(TrustError):
            return Issued(unseal(envelope, DESIRED_TYPE, DesiredState, keys), envelope, revoked)
    raise TrustError(
        f"{path} is not signed by this repository's online key",
        remedy="delete it, run `edgewise fleet recover`, and push that scope again where it is still missing",
    )
