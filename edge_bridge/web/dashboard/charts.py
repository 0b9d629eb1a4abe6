"""The pages' charts as ECharts option trees: of the fleet, of one device, of releases."""

from collections.abc import Mapping, Sequence
from typing import Final

from edge_bridge.fleet.device_history import Point
from edge_bridge.fleet.history import NAMED, LatencyPoint, Sample
from edge_bridge.web.dashboard.chart_parts import (
    INK,
    PALETTE,
    RULE,
    Options,
    bars,
    grid,
    legend,
    line,
    milliseconds,
    names_axis,
    nothing,
    over_time,
    rounded,
    values_axis,
)
from edge_contract.visible import visible

_EMOTIONS: Final = {
    "happy": "#f2c14e",
    "neutral": "#8fa3bf",
    "surprise": "#e98a5b",
    "sad": "#4f8cff",
    "angry": "#e5555f",
    "fear": "#9b6dd6",
    "disgust": "#5fae6b",
}
_LABELS: Final = 12
"""Labels that a chart names; the most frequent ones."""


def in_order(counts: Mapping[str, int]) -> list[str]:
    """Labels, known emotions in their place, so that bars grow instead of jumping."""
    return [label for label in _EMOTIONS if label in counts] + [label for label in counts if label not in _EMOTIONS]


def mix(counts: Mapping[str, int], empty: str = "no faces yet") -> Options:
    """Bars of each label's share."""
    order = in_order(counts)[:_LABELS]
    total = sum(counts.values()) or 1
    shares = [round(100 * counts[label] / total, 1) for label in order]
    data = [
        {
            "value": share,
            "itemStyle": {"color": _EMOTIONS.get(label, PALETTE[index % len(PALETTE)]), "borderRadius": 4},
        }
        for index, (label, share) in enumerate(zip(order, shares, strict=True))
    ]
    return {
        "animationDuration": 300,
        "title": nothing(empty, show=not data),
        "grid": grid(left=4, right=62, top=4),
        "tooltip": {"show": False},
        "xAxis": {"type": "value", "show": False, "max": max(shares, default=100)},
        "yAxis": names_axis(
            [visible(label) for label in order], inverse=True, axisLabel={"color": INK, "fontSize": 13, "interval": 0}
        ),
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
    p50 = [[each.time * 1000, milliseconds(each.p50)] for each in points]
    p95 = [[each.time * 1000, milliseconds(each.p95)] for each in points]
    return over_time([line("median", p50, PALETTE[1]), line("95th percentile", p95, PALETTE[0], area=True)], "ms")


def frames(samples: Sequence[Sample]) -> Options:
    """Frames per second over time: each device while they are few, and all of them together."""
    names = sorted({name for each in samples for name in each.fps})
    total = [[each.time * 1000, rounded(each.total)] for each in samples]
    if len(names) == 1:
        return over_time([line(names[0], total, PALETTE[0], area=True)], "fps")
    series = [line("all devices", total, PALETTE[0], area=True)]
    if len(names) <= NAMED and all(each.fps for each in samples if each.total is not None):
        for index, name in enumerate(names):
            points = [[each.time * 1000, rounded(each.fps.get(name))] for each in samples]
            series.append(line(name, points, PALETTE[1 + index % (len(PALETTE) - 1)]))
    return over_time(series, "fps")


def device_latency(points: Sequence[Point]) -> Options:
    """95th percentile of one device's windows over time, milliseconds."""
    data = [[each.time * 1000, milliseconds(each.p95)] for each in points]
    return over_time([line("95th percentile", data, PALETTE[0], area=True)], "ms")


def device_frames(points: Sequence[Point]) -> Options:
    """Frames per second of one device over time."""
    data = [[each.time * 1000, rounded(each.fps)] for each in points]
    return over_time([line("frames per second", data, PALETTE[1], area=True)], "fps")


def device_temperature(points: Sequence[Point]) -> Options:
    """Temperature of one board over time."""
    data = [[each.time * 1000, rounded(each.temperature)] for each in points]
    return over_time([line("temperature", data, PALETTE[2], area=True)], "°C", "this board tells no temperature")


def stages(shown: Sequence[tuple[str, float | None, float | None]]) -> Options:
    """Median and 95th percentile of each stage: seconds given, milliseconds drawn."""
    medians, tails = [milliseconds(each[1]) for each in shown], [milliseconds(each[2]) for each in shown]
    return {
        "animation": False,
        "title": nothing("no frames yet", show=not any(value is not None for value in tails)),
        "grid": grid(right=28),
        "legend": legend(),
        "tooltip": {"trigger": "axis"},
        "xAxis": values_axis("ms"),
        "yAxis": names_axis([each[0] for each in shown], inverse=True),
        "series": [bars("median", PALETTE[1], medians, 9), bars("95th percentile", PALETTE[0], tails, 9)],
    }


def agreement(labels: Sequence[str], counts: Sequence[Sequence[float]]) -> Options:
    """A heat map: what the release that answers said (rows), the one on trial (columns); in per cent of each row."""
    cells = []
    for row, values in enumerate(counts):
        total = sum(values)
        cells += [_cell(column, row, round(100 * value / total) if total else 0) for column, value in enumerate(values)]
    names = [visible(each) for each in labels]
    text = {"color": INK, "interval": 0, "rotate": 38 if len(names) > 4 else 0}
    return {
        "animation": False,
        "title": nothing("no looks yet", show=not any(map(sum, counts))),
        "grid": grid(left=4, right=14, top=4),
        "tooltip": {"show": False},
        "visualMap": {"show": False, "min": 0, "max": 100, "inRange": {"color": ["rgba(79,140,255,0.05)", "#4f8cff"]}},
        "xAxis": names_axis(names, position="top", axisLabel=text),
        "yAxis": names_axis(names, inverse=True),
        "series": [
            {
                "type": "heatmap",
                "data": cells,
                "label": {"show": True, "fontSize": 12, "formatter": "{@[2]}"},
                "itemStyle": {"borderWidth": 2, "borderColor": "rgba(127,127,127,0.06)", "borderRadius": 4},
            }
        ],
    }


def _cell(column: int, row: int, share: int) -> Options:
    """A cell whose number reads on its own colour."""
    color = "#ffffff" if share >= 45 else INK
    return {"value": [column, row, share], "label": {"color": color, "textBorderWidth": 0}}


def side_by_side(labels: Sequence[str], sides: Sequence[tuple[str, Sequence[float]]], unit: str = "%") -> Options:
    """Bars of several things beside one another, by label."""
    return {
        "animation": False,
        "title": nothing("no answers yet", show=not any(any(values) for _, values in sides)),
        "grid": grid(),
        "legend": legend(),
        "tooltip": {"trigger": "axis"},
        "xAxis": names_axis(
            [visible(each) for each in labels],
            axisLine={"show": True, "lineStyle": {"color": RULE}},
            axisLabel={"color": INK, "interval": 0, "rotate": 30 if len(labels) > 4 else 0},
        ),
        "yAxis": values_axis(unit),
        "series": [bars(name, PALETTE[index], values, 22) for index, (name, values) in enumerate(sides)],
    }
