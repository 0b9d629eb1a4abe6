"""Alertmanager's alerts as lines of a page: the worst first, links only to where a browser may go. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from edge_bridge.web.alertmanager import Alert
from edge_bridge.web.dashboard.words import ago
from edge_contract.errors import UsageError
from edge_contract.topics import checked_id
from edge_contract.visible import visible

_ORDER: Final = {"critical": 0, "page": 0, "error": 0, "warning": 1, "ticket": 1, "info": 2, "none": 3}
_BAD: Final = 0


class Line(NamedTuple):
    """One alert."""

    name: str
    severity: str
    level: Literal["bad", "warn", "note"]
    quiet: str
    """Why it is sent to no one: silenced or inhibited; empty where it is sent."""
    since: str
    summary: str
    description: str
    device: str
    runbook: str
    """Of http or https; empty for none."""
    silence: str
    """What follows Alertmanager's address for a silence of exactly this alert."""


def lines(alerts: Iterable[Alert], now: float) -> list[Line]:
    """The worst first, then by name; those that are sent to no one last."""
    return [line for _, line in sorted((_ranked(each, now) for each in alerts), key=lambda pair: pair[0])]


def _ranked(alert: Alert, now: float) -> tuple[tuple[bool, int, str, str], Line]:
    labels = alert.labels
    name = visible(labels.get("alertname", "an alert without a name"))
    severity = visible(labels.get("severity", "none"))
    order = _ORDER.get(severity, 1)
    quiet = "silenced" if alert.status.silencedBy else "inhibited" if alert.status.inhibitedBy else ""
    line = Line(
        name=name,
        severity=severity,
        level="bad" if order == _BAD else "warn" if order == 1 else "note",
        quiet=quiet,
        since=_since(alert.startsAt, now),
        summary=visible(alert.annotations.get("summary", _labels(labels))),
        description=visible(alert.annotations.get("description", "")),
        device=_device(labels.get("device", "")),
        runbook=_web_address(alert.annotations.get("runbook_url", "")),
        silence=f"/#/silences/new?filter={quote(_matchers(labels), safe='')}",
    )
    return (bool(quiet), order, name, labels.get("device", "")), line


def _since(text: str, now: float) -> str:
    try:
        began = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return f"began {ago(now - began.replace(tzinfo=began.tzinfo or UTC).timestamp())}"


def _matchers(labels: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ", ".join(f'{name}="{quoted(value)}"' for name, value in sorted(labels.items())) + "}"


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in sorted(labels.items()) if name not in {"alertname", "severity"}
    )


def _device(text: str) -> str:
    try:
        return checked_id(text, "device id")
    except UsageError:
        return ""


def _web_address(text: str) -> str:
    """The address if a browser may follow it: `javascript:` would run here."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in {"http", "https"} and parts.netloc and text.isprintable() else ""
