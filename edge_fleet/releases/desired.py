"""Desired states on the release side: issued with a revision that only grows, kept as they were signed.

One file a scope under `desired/`. It is written before anything is published, so that a killed push can be repeated
but never taken back by a smaller revision.
"""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_contract import durable
from edge_contract.envelope import seal, unseal
from edge_contract.errors import TrustError
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_contract.trust import DESIRED_TYPE, DesiredState
from edge_fleet.releases.repository import PUBLIC, Repository

LIFE: Final = 30 * 24 * 3600.0  # seconds a device may be away and still accept what was desired; refresh prolongs it


@dataclass(frozen=True, slots=True)
class Issued:
    """A desired state and its envelope."""

    state: DesiredState
    envelope: bytes

    @property
    def topic(self) -> str:
        """Where it is retained."""
        return Scope.parse(self.state.scope).topic


@dataclass(frozen=True, slots=True)
class DesiredStates:
    """The newest desired state of each scope."""

    repository: Repository
    now: Callable[[], float] = time.time

    def issue(
        self, scope: str, model: ModelRef, *, follow_group: bool = False, retry: bool = False, retried: int = 0
    ) -> Issued:
        """Sign and keep a new desired state for `group/<id>` or `device/<id>`.

        `retry`: devices where this model failed before try it once more. `retried`: the revision that last asked so.
        """
        with self._alone():
            last = self._last_revision(scope)
            now = self.now()
            # Counted from the clock, so that a release side restored from an old backup goes on above what it lost.
            revision = max(last + 1, int(now))
            state = DesiredState(
                scope=scope,
                revision=revision,
                model=model,
                issued=now,
                expires=now + LIFE,
                follow_group=follow_group,
                retry=revision if retry else retried,
            )
            issued = Issued(state, seal(state, DESIRED_TYPE, self.repository.online_signer()))
            durable.write_file(self._path(scope), issued.envelope, mode=PUBLIC, parents=True)
            return issued

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands at once would give two states one revision, and a device keeps whichever came first."""
        folder = self.repository.directory / "desired"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it is held for one signature: the next command waits
            yield

    def all(self) -> list[Issued]:
        """The newest state of every scope, verified.

        Raises:
            TrustError: a file is damaged, or the key that signed it was replaced by a rotation that did not finish.
        """
        return [self._read(path) for path in sorted((self.repository.directory / "desired").glob("*.json"))]

    def reissue(self, states: list[Issued]) -> list[Issued]:
        """Issue states again after a rotation: read them before it, while the key that signed them counts."""
        return [
            self.issue(old.scope, old.model, follow_group=old.follow_group, retried=old.retry)
            for old in (one.state for one in states)
        ]

    def renew(self) -> list[Issued]:
        """Issue again each state that has less than half of its life before it."""
        return self.reissue([one for one in self.all() if one.state.expires - self.now() < LIFE / 2])

    def _read(self, path: Path) -> Issued:
        envelope = path.read_bytes()
        try:
            return Issued(unseal(envelope, DESIRED_TYPE, DesiredState, self.repository.online_keys()), envelope)
        except TrustError as error:
            raise TrustError(
                f"{path} is not signed by the online key in force", remedy="delete it and push that scope again"
            ) from error

    def _last_revision(self, scope: str) -> int:
        path = self._path(scope)
        try:
            return self._read(path).state.revision if path.exists() else 0
        except TrustError:
            return 0  # the clock alone carries on

    def _path(self, scope: str) -> Path:
        to = Scope.parse(scope)
        return self.repository.directory / "desired" / f"{to.kind}-{to.name}.json"
