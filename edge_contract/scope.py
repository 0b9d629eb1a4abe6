"""A scope: the devices that a desired state is for. One device or one group, `device/<id>` or `group/<id>` as text.

Desired states carry it as text, because it is part of what is signed; here it is read, written and checked.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from edge_contract import topics
from edge_contract.errors import UsageError

Kind = Literal["device", "group"]

PATTERN: Final = r"^(group|device)/[a-z0-9-]{1,64}\Z"
"""What `str(scope)` matches: for the messages that carry a scope."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One device or one group. `str(scope)` is what travels."""

    kind: Kind
    name: str

    def __post_init__(self) -> None:
        """Raises UsageError where the name is no id."""
        topics.checked_id(self.name, self.kind)

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """Read `device/<id>` or `group/<id>`.

        Raises:
            UsageError: it is neither.
        """
        kind, _, name = text.partition("/")
        if kind not in get_args(Kind):
            raise UsageError(f"{text!r} is no scope", remedy="write group/ID or device/ID")
        return cls(kind, name)  # type: ignore[arg-type]  # the guard narrows what mypy cannot

    @property
    def topic(self) -> str:
        """Where its desired state is retained."""
        return topics.group_desired(self.name) if self.kind == "group" else topics.device(self.name, "desired")

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
