"""From the body of an Alertmanager webhook (version 4) to the alerts that it tells of. Pure.

Whatever is in it is another program's: sizes, counts and characters are checked here, once, and only the labels that a
diagnosis uses are kept. An alert about another model than the loop's is left out and counted.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from edge_contract.errors import MessageError
from edge_contract.messages import Seconds

BODY_BYTES: Final = 4 * 1024 * 1024
"""Of one notification: two thousand alerts with their annotations."""
ALERTS: Final = 2000
"""The most alerts of one notification, and the most that are kept."""

_Label = Annotated[str, Meta(max_length=4096)]
_Labels = Annotated[dict[Annotated[str, Meta(max_length=128)], _Label], Meta(max_length=64)]


class Alert(Struct, frozen=True, kw_only=True):
    """One alert that fires, or did."""

    fingerprint: Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}\Z")]
    """Which series of labels it is: Alertmanager's own name for it."""
    name: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}\Z")]
    device: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,64}\Z")] = ""
    """Empty for an alert about many."""
    model: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,96}\Z")] = ""
    """NAME-RELEASE, as the bridge labels series."""
    cause: Annotated[str, Meta(pattern=r"^[a-z-]{0,64}\Z")] = ""
    """As the bridge names it, such as `dark`; empty where the alert names none."""
    starts: Seconds = 0.0
    """Since when it fires, by Prometheus."""


class Notification(NamedTuple):
    """What one webhook says about the loop's model."""

    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    others: int
    """Alerts of other models, or that cannot be read."""


class _Alert(Struct):
    status: Literal["firing", "resolved"]
    labels: _Labels
    startsAt: Annotated[str, Meta(max_length=64)] = ""  # noqa: N815  # Alertmanager's name
    fingerprint: Annotated[str, Meta(max_length=64)] = ""


class _Body(Struct):
    version: Annotated[str, Meta(max_length=16)]
    alerts: Annotated[list[_Alert], Meta(max_length=ALERTS)]


def parse(body: bytes, model: str) -> Notification:
    """The alerts of a notification about releases of `model`.

    Raises:
        MessageError: it is no notification of version 4, or has too many alerts.
    """
    if len(body) > BODY_BYTES:
        raise MessageError(f"it has {len(body)} bytes, more than {BODY_BYTES}")
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MessageError(f"it is no notification of Alertmanager ({error})") from error
    if found.version != "4":
        raise MessageError("it is a notification of another version than 4")
    firing, resolved, others = list[Alert](), list[Alert](), 0
    for each in found.alerts:
        alert = _alert(each)
        if alert is None or not is_of(alert.model, model):
            others += 1
        else:
            (firing if each.status == "firing" else resolved).append(alert)
    return Notification(tuple(firing), tuple(resolved), others)


def by_hand(model: str, cause: str, device: str, now: float) -> Alert:
    """The alert that a person raises; it fires for as long as it has to.

    Raises:
        MessageError: cause or device cannot be one.
    """
    name = "FleetDrift" if cause == "fleet" else "Drift"
    known = {"name": name, "device": device, "model": model, "cause": cause}
    try:
        return msgspec.convert({**known, "fingerprint": fingerprint_of({**known, "by hand": str(now)})}, Alert)
    except msgspec.ValidationError as error:
        raise MessageError(f"this is no alert ({error})") from error


def is_of(label: str, model: str) -> bool:
    """Whether a label NAME-RELEASE names a release of this model."""
    name, _, release = label.rpartition("-")
    return name == model and release.isascii() and release.isdecimal()


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """A name for a set of labels, where Alertmanager gave none."""
    text = "\0".join(f"{name}\0{labels[name]}" for name in sorted(labels))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _alert(one: _Alert) -> Alert | None:
    labels = one.labels
    known = {
        "fingerprint": one.fingerprint or fingerprint_of(labels),
        "name": labels.get("alertname", ""),
        "device": labels.get("device", ""),
        "model": labels.get("model", ""),
        "cause": labels.get("cause", ""),
        "starts": _seconds(one.startsAt),
    }
    try:
        return msgspec.convert(known, Alert)
    except msgspec.ValidationError:
        return None


def _seconds(text: str) -> float:
    """An RFC 3339 time; 0 for none."""
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0.0
