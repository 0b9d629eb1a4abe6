"""What makes devices alike where a model may behave differently."""

from msgspec import Struct


class Kind(Struct, frozen=True, kw_only=True, order=True):
    """What makes devices alike where a model may behave differently; a rollout tries at least one of each."""

    board: str
    runtime: str
    camera: str

    def __str__(self) -> str:
        return ", ".join(part for part in (self.board, self.runtime, self.camera) if part) or "unknown"
