"""One device: is it there, what it runs, how fast, what it sees, and what it answered."""

from typing import Any

from deploy.grafana.panels import Query, board, graph, number, rows, sql_graph, sql_rows

_D = '{device="$device"}'


def dashboard() -> Any:
    """Grafana's model of it."""
    return board(
        "edgewise-device",
        "Edgewise: device",
        "One device of the fleet.",
        [
            number("Up", f"edgewise_up{_D}"),
            number("Last seen", f"time() - edgewise_last_seen_timestamp_seconds{_D}", unit="s"),
            number("Frames a second", f"edgewise_frames_per_second{_D}"),
            number("Messages that wait", f"edgewise_spool_messages{_D}"),
            rows("What it is", f"edgewise_device_info{_D}"),
            rows("What it runs", f"edgewise_device_model_info{_D} or edgewise_device_update_info{_D}"),
            graph(
                "Frames",
                Query(f"rate(edgewise_frames_total{_D}[$__rate_interval])", "taken in"),
                Query(f"rate(edgewise_frames_dropped_total{_D}[$__rate_interval])", "dropped"),
            ),
            graph(
                "Time by stage",
                Query(
                    "histogram_quantile(0.95, sum by (le, stage) (rate(edgewise_device_stage_duration_seconds_bucket"
                    '{device="$device"}[$__rate_interval])))',
                    "{{stage}} 95 %",
                ),
                unit="s",
                what="Of devices that the bridge's setting metrics.per_device names.",
            ),
            graph(
                "Answers",
                Query(f"sum by (emotion) (rate(edgewise_classified_faces_total{_D}[$__rate_interval]))", "{{emotion}}"),
            ),
            graph(
                "People",
                Query(f"sum by (label) (rate(edgewise_tracks_total{_D}[$__rate_interval])) * 3600", "{{label}}"),
                what="Face tracks an hour.",
            ),
            graph(
                "Picture",
                Query(f"edgewise_picture_brightness_ratio{_D}", "brightness"),
                Query(f"edgewise_picture_contrast_ratio{_D}", "contrast"),
                Query(f"edgewise_picture_sharpness_ratio{_D}", "sharpness"),
                Query(f"edgewise_faceless_frames_ratio{_D}", "without a face"),
            ),
            graph(
                "Faces",
                Query(f"edgewise_face_brightness_ratio{_D}", "brightness"),
                Query(f"edgewise_face_contrast_ratio{_D}", "contrast"),
                Query(f"edgewise_face_sharpness_ratio{_D}", "sharpness"),
            ),
            graph(
                "Faces, size and lean",
                Query(f"edgewise_face_side_pixels{_D}", "side, pixels"),
                Query(f"edgewise_face_roll_degrees{_D}", "lean, degrees"),
            ),
            graph("Picture stands still", Query(f"edgewise_picture_frozen_seconds{_D}", "still"), unit="s"),
            graph(
                "Board",
                Query(f"edgewise_temperature_celsius{_D}", "°C"),
                Query(f"edgewise_throttled{_D}", "throttled, bits"),
            ),
            graph("Processor", Query(f"edgewise_agent_cpu_ratio{_D}", "cores of the agent")),
            graph(
                "Memory",
                Query(f"edgewise_resident_memory_bytes{_D}", "agent"),
                Query(f"edgewise_memory_available_bytes{_D}", "left"),
                unit="bytes",
            ),
            graph("Acknowledgements", Query(f"edgewise_ack_lag_seconds{_D}", "oldest message waits"), unit="s"),
            graph(
                "What ends",
                Query(f"edgewise_certificate_expires_timestamp_seconds{_D} - time()", "certificate"),
                Query(f"edgewise_trust_expires_timestamp_seconds{_D} - time()", "signed lists"),
                unit="s",
            ),
            graph("Clock", Query(f"edgewise_clock_skew_seconds{_D}", "ahead of the bridge"), unit="s"),
            graph(
                "Errors",
                Query(f"rate(edgewise_errors_total{_D}[$__rate_interval])", "all"),
                Query(f"rate(edgewise_device_events_total{_D}[$__rate_interval])", "{{event}}"),
            ),
            sql_graph(
                "Predictions",
                """SELECT $__unixEpochGroupAlias("time", $__interval), label AS metric, count(*) AS value
FROM predictions WHERE device = ${device:sqlstring} AND $__unixEpochFilter("time") GROUP BY 1, 2 ORDER BY 1""",
                what="From the prediction log.",
            ),
            sql_rows(
                "Last predictions",
                """SELECT to_timestamp("time") AS "time", label, confidence, model || '-' || release AS model,
track, latency FROM predictions WHERE device = ${device:sqlstring} AND $__unixEpochFilter("time")
ORDER BY predictions."time" DESC LIMIT 200""",
                width=24,
                what="From the prediction log.",
            ),
        ],
        (("site", "label_values(edgewise_up, site)"), ("device", 'label_values(edgewise_up{site="$site"}, device)')),
    )
