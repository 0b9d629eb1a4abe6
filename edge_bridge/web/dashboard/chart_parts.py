"""What the charts are made of: colours that read on white and on black, axes, lines, legends."""

from collections.abc import Sequence
from typing import Any, Final

INK: Final = "#8b95a5"
"""Axis text: enough contrast on both grounds (4.5:1 on black, 3:1 on white, as large text)."""
RULE: Final = "rgba(139,149,165,0.18)"
PALETTE: Final = ("#4f8cff", "#2fbf9b", "#f0a53a", "#c678dd", "#ef6b73", "#56b6c2", "#a3b18a", "#d19a66")

Options = dict[str, Any]
Line = list[list[float | None]]
"""Time in milliseconds since 1970, and a value."""


def milliseconds(seconds: float | None) -> float | None:
    """Two digits after the point are enough for any eye."""
    return None if seconds is None else round(seconds * 1000, 2)


def rounded(value: float | None) -> float | None:
    """One digit after the point."""
    return None if value is None else round(value, 1)


def nothing(text: str, *, show: bool) -> Options:
    """What stands in a chart that has nothing to draw."""
    return {
        "show": show,
        "text": text,
        "left": "center",
        "top": "middle",
        "textStyle": {"color": INK, "fontSize": 13, "fontWeight": "normal"},
    }


def legend() -> Options:
    """Names of series above a chart; they scroll where they do not fit."""
    return {
        "type": "scroll",
        "pageIconColor": INK,
        "pageTextStyle": {"color": INK},
        "top": 0,
        "left": 0,
        "icon": "circle",
        "itemWidth": 10,
        "itemHeight": 10,
        "textStyle": {"color": INK},
    }


def names_axis(names: Sequence[str], **more: Any) -> Options:
    """An axis of names, all of which are written."""
    axis: Options = {
        "type": "category",
        "data": list(names),
        "axisLine": {"show": False},
        "axisTick": {"show": False},
        "axisLabel": {"color": INK, "interval": 0},
    }
    return axis | more


def values_axis(unit: str) -> Options:
    """An axis of values from 0."""
    return {
        "type": "value",
        "min": 0,
        "splitNumber": 4,
        "axisLabel": {"color": INK, "formatter": f"{{value}} {unit}"},
        "splitLine": {"lineStyle": {"color": RULE}},
    }


def grid(**changed: int) -> Options:
    """Where axes stand; with room for a legend."""
    return {"left": 8, "right": 12, "top": 30, "bottom": 4, "containLabel": True} | changed


def bars(name: str, color: str, values: Sequence[float | None], width: int) -> Options:
    """A series of bars."""
    style = {"color": color, "borderRadius": 3}
    return {"name": name, "type": "bar", "data": list(values), "barMaxWidth": width, "itemStyle": style}


def line(name: str, data: Line, color: str, *, area: bool = False) -> Options:
    """A series over time."""
    made: Options = {
        "name": name,
        "type": "line",
        "data": data,
        "showSymbol": False,
        "smooth": 0.2,
        "lineStyle": {"width": 2, "color": color},
        "itemStyle": {"color": color},
    }
    if area:
        made["areaStyle"] = {"color": color, "opacity": 0.12}
    return made


def over_time(series: list[Options], unit: str, empty: str = "no frames yet") -> Options:
    """Lines over time."""
    return {
        "animation": False,
        "title": nothing(empty, show=not any(y is not None for each in series for _, y in each["data"])),
        "grid": grid(),
        "legend": legend(),
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "axisLine": {"lineStyle": {"color": RULE}},
            "axisLabel": {"color": INK, "hideOverlap": True},
            "splitLine": {"show": False},
        },
        "yAxis": values_axis(unit),
        "series": series,
    }
