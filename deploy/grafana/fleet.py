"""The fleet at a glance: what is down, what is slow, who runs what, and the bridge itself."""

from typing import Any

from deploy.grafana.panels import Query, board, graph, number, rows

_WHOLE = 'sum by (le, model) (rate(edgewise_stage_duration_seconds_bucket{stage="whole"}[$__rate_interval]))'


def dashboard() -> Any:
    """Grafana's model of it."""
    return board(
        "edgewise-fleet",
        "Edgewise: fleet",
        "Every device that the bridge knows, summed up.",
        [
            number("Devices up", "sum(edgewise_up)"),
            number(
                "Devices down", "count(device:edgewise_down) or vector(0)", what="Not counting those stopped in order."
            ),
            number("Alerts", 'count(ALERTS{alertstate="firing", severity!="none"}) or vector(0)'),
            number("Frames a second", "sum(edgewise_frames_per_second)"),
            rows("What is wrong", 'ALERTS{alertstate="firing"}', width=24, what="The watchdog always stands here."),
            graph("Devices up by site", Query("sum by (site) (edgewise_up)", "{{site}}")),
            graph(
                "Models",
                Query("count by (model) (edgewise_device_model_info)", "{{model}}"),
                what="Devices that run each.",
            ),
            graph(
                "Time from frame to answer",
                Query(f"histogram_quantile(0.5, {_WHOLE})", "{{model}} half"),
                Query(f"histogram_quantile(0.95, {_WHOLE})", "{{model}} 95 %"),
                Query(f"histogram_quantile(0.99, {_WHOLE})", "{{model}} 99 %"),
                unit="s",
            ),
            graph(
                "Frames over 0.1 s",
                Query("site_model:edgewise_frames_slow:ratio5m", "{{site}} {{model}}"),
                unit="percentunit",
                what="At most 1 % may be.",
            ),
            graph(
                "Updates",
                Query("count by (state) (edgewise_device_update_info)", "{{state}}"),
                what="Devices in each state.",
            ),
            graph(
                "Answers",
                Query("sum by (emotion) (rate(edgewise_classified_faces_total[$__rate_interval]))", "{{emotion}}"),
            ),
            graph(
                "People",
                Query("sum by (site) (rate(edgewise_tracks_total[$__rate_interval])) * 3600", "{{site}}"),
                what="Face tracks an hour.",
            ),
            graph("Warmest boards", Query("topk(10, edgewise_temperature_celsius)", "{{device}}"), unit="celsius"),
            graph(
                "Longest spools", Query("topk(10, edgewise_spool_messages)", "{{device}}"), what="Messages that wait."
            ),
            graph(
                "Longest waits for an acknowledgement",
                Query("topk(10, edgewise_ack_lag_seconds)", "{{device}}"),
                unit="s",
            ),
            graph(
                "The bridge's messages",
                Query("sum by (kind) (rate(edgewise_bridge_messages_total[$__rate_interval]))", "{{kind}}"),
                Query("sum(rate(edgewise_bridge_messages_refused_total[$__rate_interval])) or vector(0)", "refused"),
                unit="mps",
            ),
            graph(
                "The bridge's work",
                Query("edgewise_bridge_broker_connected", "broker connected"),
                Query("edgewise_bridge_database_writable", "database writable"),
                Query('rate(process_cpu_seconds_total{job="edgewise"}[$__rate_interval])', "cores"),
            ),
        ],
    )
