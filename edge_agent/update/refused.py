"""Desired states whose refusal may pass: kept, one a scope, until there is a reason to ask again.

One that had expired by a clock which ran ahead holds once the clock is set right. One whose key was not known may have
been faster than the root that names it. What was refused for good is not kept. Pure.
"""

from typing import NamedTuple

from edge_agent.trust.evidence import OnlineKeys


class _Kept(NamedTuple):
    envelope: bytes
    expires: float | None
    """Holds before this, seconds since 1970. None: may hold under other online keys."""


class PassingRefusals:
    """Used by one thread."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._online = OnlineKeys()

    def expired(self, scope: str, envelope: bytes, expires: float) -> None:
        """It is too late for it, by the clock as it is now."""
        self._kept[scope] = _Kept(envelope, expires)

    def unsigned(self, scope: str, envelope: bytes) -> None:
        """No online key of now signed it."""
        self._kept[scope] = _Kept(envelope, None)

    def drop(self, scope: str) -> None:
        """Another one came."""
        self._kept.pop(scope, None)

    def held_by_clock(self, now: float) -> dict[str, bytes]:
        """Take out what has not expired, seen from `now`; by scope."""
        return self._take(
            [scope for scope, kept in self._kept.items() if kept.expires is not None and now < kept.expires]
        )

    def held_by_keys(self, online: OnlineKeys) -> dict[str, bytes]:
        """Take out what other keys than these did not vouch for; by scope."""
        if online == self._online:
            return {}
        self._online = online
        return self._take([scope for scope, kept in self._kept.items() if kept.expires is None])

    def _take(self, scopes: list[str]) -> dict[str, bytes]:
        return {scope: self._kept.pop(scope).envelope for scope in scopes}
