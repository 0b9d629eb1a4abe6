"""The page's charts as ECharts option trees; colours that read on white and on black."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_bridge.fleet.history import LatencyPoint, Sample
from edge_contract.visible import visible

INK: Final = "#8b95a5"
"""Axis text: enough contrast on both grounds (4.5:1 on black, 3:1 on white, as large text)."""
_RULE: Final = "rgba(139,149,165,0.18)"
_PALETTE: Final = ("#4f8cff", "#2fbf9b", "#f0a53a", "#c678dd", "#ef6b73", "#56b6c2", "#a3b18a", "#d19a66")
_EMOTIONS: Final = {
    "happy": "#f2c14e",
    "neutral": "#8fa3bf",
    "surprise": "#e98a5b",
    "sad": "#4f8cff",
    "angry": "#e5555f",
    "fear": "#9b6dd6",
    "disgust": "#5fae6b",
}
LINES: Final = 6
"""Devices with a line of their own; more would be a tangle, so then only the sum is drawn."""

Options = dict[str, Any]


def mix(counts: Mapping[str, int]) -> Options:
    """Bars of each emotion's share; known emotions keep their place, so that bars grow instead of jumping."""
    order = [label for label in _EMOTIONS if label in counts] + [label for label in counts if label not in _EMOTIONS]
    total = sum(counts.values()) or 1
    shares = [round(100 * counts[label] / total, 1) for label in order[:12]]
    data = [
        {
            "value": share,
            "itemStyle": {"color": _EMOTIONS.get(label, _PALETTE[index % len(_PALETTE)]), "borderRadius": 4},
        }
        for index, (label, share) in enumerate(zip(order, shares, strict=False))
    ]
    return {
        "animationDuration": 300,
        "title": _nothing("no faces yet", show=not data),
        "grid": {"left": 4, "right": 62, "top": 4, "bottom": 4, "containLabel": True},
        "tooltip": {"show": False},
        "xAxis": {"type": "value", "show": False, "max": max(shares, default=100)},
        "yAxis": {
            "type": "category",
            "data": [visible(label) for label in order[:12]],
            "inverse": True,
            "axisLine": {"show": False},
            "axisTick": {"show": False},
            "axisLabel": {"color": INK, "fontSize": 13},
        },
        "series": [
            {
                "type": "bar",
                "data": data,
                "barMaxWidth": 20,
                "label": {"show": True, "position": "right", "color": INK, "formatter": "{c} %"},
            }
        ],
    }


def latency(points: Sequence[LatencyPoint]) -> Options:
    """Median and 95th percentile over time, milliseconds."""
    p50 = [[each.time * 1000, _ms(each.p50)] for each in points]
    p95 = [[each.time * 1000, _ms(each.p95)] for each in points]
    series = [_line("median", p50, _PALETTE[1]), _line("95th percentile", p95, _PALETTE[0], area=True)]
    return _over_time(series, "ms")


def frames(samples: Sequence[Sample]) -> Options:
    """Frames per second over time: each device while they are few, and all of them together."""
    names = sorted({name for each in samples for name in each.fps})
    total = [[each.time * 1000, round(sum(each.fps.values()), 1) if each.fps else None] for each in samples]
    if len(names) == 1:
        return _over_time([_line(names[0], total, _PALETTE[0], area=True)], "fps")
    series = [_line("all devices", total, _PALETTE[0], area=True)]
    if len(names) <= LINES:
        for index, name in enumerate(names):
            points = [[each.time * 1000, _rounded(each.fps.get(name))] for each in samples]
            series.append(_line(name, points, _PALETTE[1 + index % (len(_PALETTE) - 1)]))
    return _over_time(series, "fps")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _line(name: str, data: list[list[float | None]], color: str, *, area: bool = False) -> Options:
    line: Options = {
        "name": name,
        "type": "line",
        "data": data,
        "showSymbol": False,
        "smooth": 0.2,
        "lineStyle": {"width": 2, "color": color},
        "itemStyle": {"color": color},
    }
    if area:
        line["areaStyle"] = {"color": color, "opacity": 0.12}
    return line


def _nothing(text: str, *, show: bool) -> Options:
    """What stands in a chart that has nothing to draw."""
    return {
        "show": show,
        "text": text,
        "left": "center",
        "top": "middle",
        "textStyle": {"color": INK, "fontSize": 13, "fontWeight": "normal"},
    }


def _over_time(series: list[Options], unit: str) -> Options:
    return {
        "animation": False,
        "title": _nothing("no frames yet", show=not any(y is not None for line in series for _, y in line["data"])),
        "grid": {"left": 8, "right": 12, "top": 30, "bottom": 4, "containLabel": True},
        "legend": {
            "type": "scroll",
            "pageIconColor": INK,
            "pageTextStyle": {"color": INK},
            "top": 0,
            "left": 0,
            "icon": "roundRect",
            "itemWidth": 10,
            "itemHeight": 4,
            "textStyle": {"color": INK},
        },
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "axisLine": {"lineStyle": {"color": _RULE}},
            "axisLabel": {"color": INK, "hideOverlap": True},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "splitNumber": 4,
            "axisLabel": {"color": INK, "formatter": f"{{value}} {unit}"},
            "splitLine": {"lineStyle": {"color": _RULE}},
        },
        "series": series,
    }
