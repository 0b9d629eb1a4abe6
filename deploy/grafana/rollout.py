"""Rollouts, releases and drift: how far it is, whether old and new agree, and where answers changed."""

from typing import Any

from deploy.grafana.panels import Query, board, graph, number, rows


def dashboard() -> Any:
    """Grafana's model of it."""
    return board(
        "edgewise-rollout",
        "Edgewise: rollout and drift",
        "How releases reach devices, and whether models answer as they should.",
        [
            number("Rollouts under way", 'count(edgewise_rollout_info{phase=~"waiting|shadow|wave"}) or vector(0)'),
            number("Devices behind", "sum(edgewise_group_behind_devices) or vector(0)"),
            number("Cameras that drift", "count(edgewise_drift == 1) or vector(0)"),
            number("On a withdrawn release", "count(edgewise_device_on_withdrawn_release) or vector(0)"),
            rows("Rollouts", "edgewise_rollout_info"),
            rows("Releases", "edgewise_release_info"),
            graph("Stage", Query("edgewise_rollout_stage", "{{group}}"), what="0 is the shadow; waves count from 1."),
            graph(
                "Devices of the stage", Query("sum by (group, state) (edgewise_rollout_devices)", "{{group}} {{state}}")
            ),
            graph(
                "Devices behind, by why",
                Query("sum by (group, kind) (edgewise_group_behind_devices)", "{{group}} {{kind}}"),
            ),
            graph(
                "Updates refused",
                Query(
                    'count by (target, state) (edgewise_device_update_info{state=~"rejected|rolled-back"})'
                    " or vector(0)",
                    "{{target}} {{state}}",
                ),
            ),
            graph(
                "Shadow: same answer",
                Query(
                    "sum by (champion, challenger) (rate(edgewise_shadow_agreed_total[$__rate_interval]))"
                    " / sum by (champion, challenger) (rate(edgewise_shadow_looks_total[$__rate_interval]))",
                    "{{champion}} and {{challenger}}",
                ),
                unit="percentunit",
            ),
            graph(
                "Shadow: looks",
                Query(
                    "sum by (challenger) (rate(edgewise_shadow_looks_total[$__rate_interval]))",
                    "{{challenger}} compared",
                ),
                Query(
                    "sum by (challenger) (rate(edgewise_shadow_failures_total[$__rate_interval]))",
                    "{{challenger}} failed",
                ),
                Query(
                    "sum by (challenger) (rate(edgewise_shadow_skipped_total[$__rate_interval]))",
                    "{{challenger}} no time",
                ),
            ),
            graph(
                "How sure, by model",
                Query(
                    "histogram_quantile(0.5, sum by (le, model)"
                    " (rate(edgewise_track_confidence_ratio_bucket[$__rate_interval])))",
                    "{{model}} half",
                ),
                unit="percentunit",
                what="Confidence of face tracks.",
            ),
            graph(
                "Sure tracks",
                Query(
                    "sum by (model) (rate(edgewise_tracks_sure_total[$__rate_interval]))"
                    " / sum by (model) (rate(edgewise_tracks_total[$__rate_interval]))",
                    "{{model}}",
                ),
                unit="percentunit",
                what="Share above the confidence that estimates accuracy.",
            ),
            rows("Drift", "edgewise_drift == 1"),
            graph(
                "Evidence of drift",
                Query("topk(10, edgewise_drift_evidence)", "{{device}} {{reference}}"),
                what="log10 of the e-value.",
            ),
            graph(
                "Size of the change",
                Query("topk(10, edgewise_drift_effect_ratio)", "{{device}} {{reference}}"),
                unit="percentunit",
            ),
            graph("Tracks of each site's baseline", Query("bottomk(10, edgewise_drift_baseline_tracks)", "{{device}}")),
            graph("Baselines that are learned", Query("sum by (site) (edgewise_drift_baseline_frozen)", "{{site}}")),
            graph(
                "Estimated accuracy",
                Query("bottomk(10, edgewise_estimated_accuracy_ratio)", "{{device}} {{method}}"),
                Query("edgewise_release_accuracy_ratio", "{{model}} on its test"),
                unit="percentunit",
                what="From how sure the answers are; see docs/drift.md for its error.",
            ),
        ],
    )
