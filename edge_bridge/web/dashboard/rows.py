"""What the page's tables and numbers show, worked out of the fleet's records: plain values in, plain values out."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.history import MIX_S, History
from edge_bridge.fleet.record import Device
from edge_bridge.storage.store import LoggedPrediction
from edge_contract.metrics import DeviceGauge
from edge_contract.throttling import throttling
from edge_contract.update_state import REFUSED, UpdateState
from edge_contract.visible import visible

SHOWN: Final = 500
"""Devices in the table; those in trouble come first. A browser and a phone's line have limits too."""
NOTHING: Final = "\N{EN DASH}"
"""Where there is no value."""
_TROUBLE: Final = {"silent": 0, "offline": 1, "unknown": 2, "stopped": 3, "online": 5}

Row = dict[str, Any]


class Numbers(NamedTuple):
    """The figures at the top of the page, as text."""

    up: str
    fps: str
    p95: str
    faces: str


def device_rows(devices: Iterable[Device], now: float, silent_after: float) -> list[Row]:
    """One row a device, the ones in trouble first; at most `SHOWN`."""
    rows = [_device_row(each, now, silent_after) for each in devices]
    rows.sort(key=lambda row: (_urgency(row), row["device"]))
    return rows[:SHOWN]


def _urgency(row: Row) -> int:
    """0 is the most urgent."""
    return min(_TROUBLE[row["state"]], 4 if row["refused"] or row["slowed"] else 5)


def _device_row(device: Device, now: float, silent_after: float) -> Row:
    up = record.up(device, now, silent_after)
    state = "silent" if device.presence == "online" and not up else device.presence
    model, p95 = device.active, quantile(device.latency, 0.95)
    update, refused = _update(device)
    if record.is_restless(device, now):
        update, refused = "it changes model or inventory too often: what was accepted last is shown", True
    if record.is_shared(device, now):
        update, refused = "two devices have this id: give each its own device.id", True
    gauges = device.gauges if up else {}
    fps, temperature = gauges.get(DeviceGauge.FPS), gauges.get(DeviceGauge.TEMPERATURE_CELSIUS)
    slowed = throttling(gauges.get(DeviceGauge.THROTTLED, 0)).now
    return {
        "device": device.id,
        "site": device.site,
        "state": state,
        "model": model.name if model is not None else NOTHING,
        "release": model.release if model is not None else None,
        "update": update,
        "slowed": ", ".join(slowed),
        "refused": refused,
        "fps": round(fps, 1) if fps is not None else None,
        "p95": round(p95 * 1000, 1) if up and p95 is not None else None,
        "temperature": round(temperature) if temperature is not None else None,
        "seen": ago(now - device.last_seen) if device.last_seen else "never",
    }


def _update(device: Device) -> tuple[str, bool]:
    """How far the desired model has come, in words, and whether the device refused it."""
    reported = device.reported
    if reported is None:
        return "", False
    state = reported.state
    text = f"{state.text} {reported.progress:.0%}" if state is UpdateState.DOWNLOADING else state.text
    if reported.target is not None and state not in {UpdateState.IDLE, UpdateState.COMMITTED}:
        text = f"{record.short(reported.target)} {text}"
    if reported.reason:
        reason = visible(reported.reason)
        text = f"{text}: {reason}" if text else reason
    return text, state in REFUSED


def prediction_rows(recent: Sequence[LoggedPrediction], limit: int) -> list[Row]:
    """The newest first."""
    return [
        {
            "key": f"{message.device}/{message.session}/{message.sequence}",
            "time": datetime.fromtimestamp(message.time, UTC).astimezone().strftime("%H:%M:%S"),
            "device": message.device,
            "label": visible(message.label),
            "confidence": f"{message.confidence:.0%}",
            "model": record.short(message.model),
            "latency": f"{message.latency * 1000:.1f} ms",
        }
        for message, _ in list(recent)[: -limit - 1 : -1]
    ]


def numbers(devices: Sequence[Device], history: History, now: float, silent_after: float) -> Numbers:
    """The figures at the top."""
    present = [each for each in devices if record.up(each, now, silent_after)]
    fps = [each.gauges[DeviceGauge.FPS] for each in present if DeviceGauge.FPS in each.gauges]
    latency = next((each.p95 for each in reversed(history.latency()) if each.p95 is not None), None)
    return Numbers(
        up=f"{len(present)} / {len(devices)}",
        fps=f"{sum(fps):.1f}" if fps else NOTHING,
        p95=f"{latency * 1000:.1f} ms" if latency is not None and present else NOTHING,
        faces=f"{sum(history.mix().values()):,}",
    )


def ago(seconds: float) -> str:
    """A time span for people."""
    if seconds < 5:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


MIX_TEXT: Final = f"last {MIX_S / 60:.0f} minutes"
