"""How the page looks: its icon, style sheet, table columns and the card of a device on a narrow screen."""

from typing import Any, Final

PHONE_DEVICES: Final = 30
"""On a narrow screen each device is a card; those in trouble stand first."""
PHONE_COLUMNS: Final = [{"name": "device", "label": "Device", "field": "device"}]
ICON: Final = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='8' fill='#4f8cff'/>"
    "<circle cx='16' cy='16' r='8' fill='none' stroke='#fff' stroke-width='3'/>"
    "<circle cx='16' cy='16' r='2.5' fill='#fff'/>"
    "</svg>"
)
STYLE: Final = """
body { background: #f4f6f9; color: #1d2733; }
body.body--dark { background: #0e1319; color: #e3e8ef; }
.nicegui-content { padding: 0; }
.panel { background: #fff; border: 1px solid rgba(120,130,150,.18); border-radius: 14px; padding: 16px 18px; }
.body--dark .panel { background: #161d26; border-color: rgba(140,150,170,.14); }
.muted { color: #68737f; } .body--dark .muted { color: #93a0b0; }
.figure { font-size: 1.7rem; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; }
.state { display: inline-flex; align-items: center; gap: 7px; }
.state i { width: 9px; height: 9px; border-radius: 50%; background: #8b95a5; flex: none; }
.state.online i { background: #2fbf71; } .state.offline i, .state.silent i { background: #e5555f; }
.state.stopped i { background: #f0a53a; }
.banner { background: #fff3e0; color: #7a4b00; border-radius: 10px; padding: 10px 14px; }
.body--dark .banner { background: #3a2a10; color: #ffd596; }
.trouble { color: #c0392b; } .body--dark .trouble { color: #ff8d86; }
.device-card + .device-card { border-top: 1px solid rgba(120,130,150,.18); }
.step { counter-increment: step; display: flex; gap: 14px; align-items: flex-start; }
.step::before { content: counter(step); flex: none; width: 26px; height: 26px; border-radius: 50%; text-align: center;
  line-height: 26px; font-weight: 600; color: #fff; background: #4f8cff; }
.words { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; background: rgba(120,130,150,.12); border-radius: 8px; padding: 8px 10px; }
.nicegui-aggrid { --ag-background-color: transparent; --ag-header-background-color: transparent;
  --ag-odd-row-background-color: transparent; --ag-wrapper-border: none; --ag-border-radius: 0; }
"""
_STATE_CELL: Final = """(params) => {
  const cell = document.createElement('span'); cell.className = 'state ' + params.value;
  cell.append(document.createElement('i'), document.createTextNode(params.value)); return cell; }"""
PHONE_CARD: Final = """
<div class="w-full py-3 device-card" :key="props.row.device">
  <div class="row items-center no-wrap">
    <span class="font-semibold ellipsis">{{ props.row.device }}</span><q-space />
    <span class="state" :class="props.row.state"><i></i>{{ props.row.state }}</span>
  </div>
  <div class="row muted text-sm q-gutter-x-md">
    <span>{{ props.row.model }} {{ props.row.release }}</span>
    <span v-if="props.row.fps !== null">{{ props.row.fps }} fps</span>
    <span v-if="props.row.p95 !== null">p95 {{ props.row.p95 }} ms</span>
    <span>{{ props.row.seen }}</span>
  </div>
  <div class="text-sm" :class="props.row.refused ? 'trouble' : 'muted'">{{ props.row.update }}</div>
  <div class="text-sm trouble" v-if="props.row.slowed">slowed by {{ props.row.slowed }}</div>
</div>"""
COLUMNS: Final[list[dict[str, Any]]] = [
    {"field": "device", "headerName": "Device", "minWidth": 130, "flex": 2},
    {"field": "state", "headerName": "State", "minWidth": 105, "flex": 1, ":cellRenderer": _STATE_CELL},
    {"field": "site", "headerName": "Site", "minWidth": 90, "flex": 1},
    {"field": "model", "headerName": "Model", "minWidth": 110, "flex": 1},
    {"field": "release", "headerName": "Release", "minWidth": 85, "flex": 1, "type": "numericColumn"},
    {"field": "update", "headerName": "Update", "minWidth": 200, "flex": 3, "tooltipField": "update",
     ":cellClass": "(params) => params.data.refused ? 'trouble' : ''"},
    {"field": "fps", "headerName": "Frames/s", "minWidth": 95, "flex": 1, "type": "numericColumn"},
    {"field": "p95", "headerName": "p95 ms", "minWidth": 85, "flex": 1, "type": "numericColumn"},
    {"field": "temperature", "headerName": "°C", "minWidth": 65, "flex": 1, "type": "numericColumn"},
    {"field": "slowed", "headerName": "Slowed by", "minWidth": 110, "flex": 1, "tooltipField": "slowed",
     "cellClass": "trouble"},
    {"field": "seen", "headerName": "Last seen", "minWidth": 100, "flex": 1, "sortable": False},
]  # fmt: skip
