"""The kinds of panel that the dashboards are made of, on Grafana's own builders; one look for all three."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Panel
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="edgewise-prometheus")
POSTGRESQL: Final = DataSourceRef(type_val="grafana-postgresql-datasource", uid="edgewise-postgresql")
_HEIGHT: Final = 8


class Query(NamedTuple):
    """PromQL, and what its lines are called: labels in {{ }}."""

    promql: str
    legend: str = ""


@dataclass
class SqlQuery(Dataquery):
    """SQL for the prediction log; the foundation SDK has no type for it."""

    sql: str
    format: str

    def to_json(self) -> dict[str, object]:
        """As Grafana's PostgreSQL data source stores it."""
        return {
            "datasource": POSTGRESQL,
            "refId": "A",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.sql,
            "editorMode": "code",
        }


@dataclass
class _Sql(Builder[Dataquery]):
    sql: str
    format: str

    def build(self) -> Dataquery:
        return SqlQuery(self.sql, self.format)


def number(title: str, promql: str, *, unit: str = "short", width: int = 6, what: str = "") -> Builder[Panel]:
    """One number with its course behind it."""
    panel = stat.Panel().title(title).description(what).datasource(PROMETHEUS).height(4).span(width).unit(unit)
    return panel.with_target(_query(Query(promql), 0))


def graph(title: str, *queries: Query, unit: str = "short", width: int = 12, what: str = "") -> Builder[Panel]:
    """Lines over time."""
    panel = timeseries.Panel().title(title).description(what).datasource(PROMETHEUS).height(_HEIGHT).span(width)
    panel = panel.unit(unit).fill_opacity(8).line_width(1)
    for place, query in enumerate(queries):
        panel = panel.with_target(_query(query, place))
    return panel


def rows(title: str, promql: str, *, width: int = 12, what: str = "") -> Builder[Panel]:
    """What holds now, a line each, with its labels as columns."""
    panel = table.Panel().title(title).description(what).datasource(PROMETHEUS).height(_HEIGHT).span(width)
    return panel.with_target(_query(Query(promql), 0).format(PromQueryFormat.TABLE).instant())


def sql_rows(title: str, sql: str, *, width: int = 12, what: str = "") -> Builder[Panel]:
    """Rows of the prediction log."""
    panel = table.Panel().title(title).description(what).datasource(POSTGRESQL).height(_HEIGHT).span(width)
    return panel.with_target(_Sql(sql, "table"))


def sql_graph(title: str, sql: str, *, width: int = 12, what: str = "") -> Builder[Panel]:
    """The prediction log over time: columns `time`, `metric`, `value`."""
    panel = timeseries.Panel().title(title).description(what).datasource(POSTGRESQL).height(_HEIGHT).span(width)
    return panel.fill_opacity(8).with_target(_Sql(sql, "time_series"))


def board(uid: str, title: str, what: str, panels: list[Any], variables: tuple[Any, ...] = ()) -> Any:
    """A dashboard of these panels, from left to right and then down."""
    made = dashboard.Dashboard(title).uid(uid).description(what).tags(["edgewise"]).readonly()
    made = made.time("now-6h", "now").refresh("30s").timezone("browser").version(1)
    for name, query in variables:
        made = made.with_variable(dashboard.QueryVariable(name).label(name).datasource(PROMETHEUS).query(query))
    for place, panel in enumerate(panels, 1):
        made = made.with_panel(panel.id(place))
    return made.build()


def _query(query: Query, place: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.promql).ref_id("ABCDEFGH"[place]).datasource(PROMETHEUS)
    return target.legend_format(query.legend) if query.legend else target
