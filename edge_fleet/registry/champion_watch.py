"""Looks at the champion of one model again and again, on a thread of its own: a slow registry delays nobody.

Level-triggered: each look says what the registry says now, whatever woke it. What is to be done about it is decided by
who reads the looks.
"""

import threading
from dataclasses import dataclass
from typing import Final

from edge_contract.command_end import explained
from edge_contract.package import ModelPackage
from edge_fleet.registry.mlflow import Version
from edge_fleet.registry.registry import Registry

LOOK_EVERY_S: Final = 30.0
_APART_S: Final = 1.0  # at least, however often it is woken


@dataclass(frozen=True, slots=True)
class Look:
    """What the registry said."""

    number: int
    """Looks count from 1."""
    champion: Version | None
    package: ModelPackage | None
    """Of the champion, where it was asked for with `fetch`."""
    trouble: str
    """A sentence where there is no champion, or no package although it was asked for; else empty."""


class ChampionWatch:
    """One model's."""

    def __init__(self, registry: Registry, model: str, every_s: float = LOOK_EVERY_S) -> None:
        """Nothing is asked before `start`."""
        self.model = model
        self._registry, self._every = registry, every_s
        self._look: Look | None = None
        self._wanted: Version | None = None
        self._package: tuple[Version, ModelPackage] | None = None
        self._woken, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)

    def __enter__(self) -> "ChampionWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End without waiting for an answer that is under way."""
        self._ended.set()
        self._woken.set()

    @property
    def look(self) -> Look | None:
        """The last one; None before the first."""
        return self._look

    def wake(self) -> None:
        """Look soon; many calls at once are one look."""
        self._woken.set()

    def fetch(self, champion: Version) -> None:
        """Have the next look bring the package of this version."""
        self._wanted = champion
        self._woken.set()

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            self._woken.clear()
            number += 1
            self._look = self._taken(number)
            self._ended.wait(min(_APART_S, self._every))
            self._woken.wait(self._every)

    def _taken(self, number: int) -> Look:
        champion: Version | None = None
        try:
            champion = self._registry.standing_champion(self.model)
            return Look(number, champion, self._fetched(champion), "")
        except Exception as error:  # noqa: BLE001  # whatever MLflow's libraries raise, the next look is taken
            known = explained(error)
            text = str(known) if known is not None else f"the registry failed with {type(error).__name__}."
            return Look(number, champion, None, text)

    def _fetched(self, champion: Version) -> ModelPackage | None:
        if self._wanted is None or not _same(self._wanted, champion):
            self._wanted = self._package = None
            return None
        if self._package is None or not _same(self._package[0], champion):
            self._package = (champion, self._registry.package(champion))
        return self._package[1]


def _same(one: Version, other: Version) -> bool:
    return (one.version, one.digest) == (other.version, other.digest)
