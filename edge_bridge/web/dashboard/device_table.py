"""The table of devices, on a narrow screen a list of cards; the same on the first page and on that of all devices."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from nicegui import ui

from edge_bridge.web.dashboard.listing import Row, trouble_of
from edge_bridge.web.dashboard.words import NOTHING, ago

_COLUMNS: Final[list[dict[str, Any]]] = [
    {"name": "device", "label": "Device", "align": "left"},
    {"name": "state", "label": "State", "align": "left"},
    {"name": "site", "label": "Site", "align": "left"},
    {"name": "model", "label": "Model", "align": "left"},
    {"name": "update", "label": "Update", "align": "left", "classes": "wrap"},
    {"name": "fps", "label": "Frames/s", "align": "right"},
    {"name": "p95", "label": "p95 ms", "align": "right"},
    {"name": "temperature", "label": "°C", "align": "right"},
    {"name": "trouble", "label": "Trouble", "align": "left", "classes": "wrap trouble"},
    {"name": "seen", "label": "Last seen", "align": "right"},
]
_SORTED: Final = frozenset({"device", "state", "site", "model", "update", "fps", "p95", "temperature", "seen"})
LINKED: Final = '<q-td :props="props"><a class="link" :href="props.row.href">{{ props.row.device }}</a></q-td>'
_STATE: Final = (
    '<q-td :props="props"><span class="state" :class="props.row.state"><i></i>{{ props.row.state }}</span></q-td>'
)
_UPDATE: Final = (
    """<q-td :props="props" :class="props.row.refused ? 'wrap trouble' : 'wrap'">{{ props.row.update }}</q-td>"""
)
_CARD: Final = """
<div class="card device-card" :key="props.row.device">
  <div class="spread">
    <a class="link title" :href="props.row.href">{{ props.row.device }}</a><span class="grow"></span>
    <span class="state" :class="props.row.state"><i></i>{{ props.row.state }}</span>
  </div>
  <div class="spread muted small">
    <span>{{ props.row.site }}</span><span>{{ props.row.model }}</span>
    <span v-if="props.row.fps !== null">{{ props.row.fps }} fps</span>
    <span v-if="props.row.p95 !== null">p95 {{ props.row.p95 }} ms</span>
    <span>{{ props.row.seen }}</span>
  </div>
  <div class="small" :class="props.row.refused ? 'trouble' : 'muted'">{{ props.row.update }}</div>
  <div class="small trouble" v-if="props.row.trouble">{{ props.row.trouble }}</div>
</div>"""

Shown = list[dict[str, Any]]


def shown(rows: Sequence[Row], now: float, prefix: str) -> Shown:
    """Rows as the browser takes them."""
    return [
        {
            "device": row.device,
            "href": f"{prefix}/device/{row.device}",
            "state": row.state,
            "site": row.site,
            "model": row.model or NOTHING,
            "update": row.update,
            "refused": row.refused,
            "fps": None if row.fps is None else round(row.fps, 1),
            "p95": None if row.p95 is None else round(row.p95 * 1000, 1),
            "temperature": None if row.temperature is None else round(row.temperature),
            "trouble": trouble_of(row),
            "seen": ago(now - row.seen) if row.seen else "never",
        }
        for row in rows
    ]


class DeviceTable:
    """See the module."""

    def __init__(self, rows: Shown, on_sort: Callable[[str], None] | None = None, sort: str = "") -> None:
        """`on_sort`: called with what to sort by, as `listing.Query.sort` has it, when a head is clicked."""
        columns = [
            {**each, "field": each["name"], "sortable": on_sort is not None and each["name"] in _SORTED}
            for each in _COLUMNS
        ]
        field, backwards = sort.removeprefix("-"), sort.startswith("-")
        pagination = {"rowsPerPage": 0, "rowsNumber": len(rows), "sortBy": field or None, "descending": backwards}
        self._table = ui.table(columns=columns, rows=rows, row_key="device", pagination=pagination)
        for slot, template in (("device", LINKED), ("state", _STATE), ("update", _UPDATE)):
            self._table.add_slot(f"body-cell-{slot}", template)
        self._table.add_slot("item", _CARD)
        self._table.props('flat dense hide-pagination :grid="window.innerWidth < 600" hide-no-data binary-state-sort')
        self._table.mark("devices")
        self._rows = rows
        if on_sort is not None:
            self._table.on("request", lambda event: self._sort(event.args, on_sort))

    def show(self, rows: Shown) -> None:
        """Show these rows, if they are others."""
        if rows != self._rows:
            self._rows = rows
            self._table.rows = rows

    def _sort(self, asked: Any, on_sort: Callable[[str], None]) -> None:
        pagination = asked.get("pagination", {}) if isinstance(asked, dict) else {}
        field = pagination.get("sortBy")
        backwards = bool(pagination.get("descending"))
        self._table.pagination = {**self._table.pagination, "sortBy": field, "descending": backwards}
        on_sort(f"{'-' if backwards else ''}{field}" if isinstance(field, str) and field in _SORTED else "")
