"""One object for equal values: what thousands of devices say alike, such as a board's name, takes its room once."""

from collections.abc import Hashable
from typing import Final, TypeVar

from msgspec.structs import replace

from edge_contract.messages import Info, ModelRef, Reported

MOST: Final = 4096
"""Values held; past it the pool begins anew, which costs room and nothing else."""

T = TypeVar("T", bound=Hashable)


class Pool:
    """See the module; for one thread."""

    def __init__(self) -> None:
        self._held: dict[Hashable, Hashable] = {}

    def one(self, value: T) -> T:
        """The value that is equal to this one and was met first."""
        if len(self._held) >= MOST:
            self._held.clear()
        return self._held.setdefault(value, value)  # type: ignore[return-value]  # it is equal, so of its type

    def info(self, message: Info) -> Info:
        """An inventory made of such values."""
        texts = {
            name: self.one(getattr(message, name)) for name in ("agent", "board", "os", "python", "runtime", "site")
        }
        return replace(message, groups=self.one(message.groups), **texts)

    def reported(self, message: Reported) -> Reported:
        """A report made of such values."""
        return replace(message, active=self.model(message.active), target=self.model(message.target))

    def model(self, model: ModelRef | None) -> ModelRef | None:
        """A model as such a value."""
        return self.one(model) if model is not None else None
