"""The table of counters and gauges: it fits a message, and the page of the wire shows the whole of it."""

import re
from pathlib import Path
from typing import get_args

from edge_contract.metrics import ERRORS, DeviceCounter, DeviceGauge, ErrorKind

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
SIXTY_FOUR = 64  # names at most in a message's `counters`, and as many in its `gauges`


def rows() -> list[str]:
    """The table as docs/protocol.md has it."""
    lines = ["| name | unit | in `/metrics` | what |", "|---|---|---|---|"]
    for metric in (*DeviceCounter, *DeviceGauge):
        other = f'edgewise_device_events_total{{event="{metric}"}}'
        lines.append(f"| `{metric}` | {metric.unit} | `{metric.series or other}` | {metric.help} |")
    return lines


def test_the_page_of_the_wire_lists_what_the_table_holds() -> None:
    assert "\n" + "\n".join(rows()) + "\n\n" in PAGE.read_text(), "\n".join(rows())


def test_names_and_series_are_unique_and_fit_a_message_with_room_for_a_newer_device() -> None:
    for table in (DeviceCounter, DeviceGauge):
        assert len(table) <= SIXTY_FOUR // 2
        assert all(len(metric) <= SIXTY_FOUR and metric.unit and metric.help.endswith(".") for metric in table)
    series = [metric.series for metric in (*DeviceCounter, *DeviceGauge) if metric.series]
    assert len(series) == len(set(series))
    assert all(re.fullmatch(r"edgewise_[a-z_]+_total", metric.series) for metric in DeviceCounter if metric.series)
    assert all(re.fullmatch(r"edgewise_[a-z_]+(?<!_total)", metric.series) for metric in DeviceGauge)


def test_a_kind_of_error_is_counted_under_its_own_name() -> None:
    assert set(ERRORS) == set(get_args(ErrorKind))
    assert all(counter == f"errors_{kind}" for kind, counter in ERRORS.items())
