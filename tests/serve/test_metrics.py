"""A server is watched as a device is: the same names, kinds and labels as the bridge's, in a form Prometheus reads."""

import json

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from edge_bridge.metrics import exposition
from edge_bridge.metrics.text import Family
from edge_contract.metrics import DeviceCounter, DeviceGauge
from tests.serve.process import ServeProcess


def families(server: ServeProcess) -> dict[str, object]:
    text = server.ask("GET", "/metrics").body.decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_what_it_counts_has_the_bridges_names_and_words(server: ServeProcess) -> None:
    body = json.dumps({"instances": [np.zeros((48, 48), int).tolist()]}).encode()
    assert server.ask("POST", "/invocations", body, content_type="application/json").status == 200
    bridge = {value.name: value.help for value in vars(exposition).values() if isinstance(value, Family)}
    bridge |= {metric.series: metric.help for metric in (*DeviceCounter, *DeviceGauge) if metric.series}
    text = server.ask("GET", "/metrics").body.decode()
    own = dict(line[len("# HELP ") :].split(" ", 1) for line in text.splitlines() if line.startswith("# HELP "))
    shared = {name: words for name, words in own.items() if not name.startswith("edgewise_serve_")}
    assert shared == {name: bridge.get(name) for name in shared}
    assert {"edgewise_stage_duration_seconds", "edgewise_faces_total", "edgewise_errors_total"} < set(shared)


def test_a_request_is_counted_by_route_stage_and_answer(server: ServeProcess) -> None:
    def value(name: str, **labels: str) -> float:
        text = server.ask("GET", "/metrics").body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def counted() -> list[float]:
        return [
            value("edgewise_faces_total", site="cloud", device="edgewise-serve"),
            value("edgewise_classified_faces_total", model="tiny-1"),
            value("edgewise_stage_duration_seconds_count", stage="invoke", model="tiny-1"),
            value("edgewise_confidence_ratio_count", site="cloud"),
            value("edgewise_serve_requests_total", route="/score", status="200"),
        ]

    before = counted()
    body = json.dumps({"instances": [[0] * 2304] * 3}).encode()
    server.ask("POST", "/score", body, content_type="application/json")
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [3, 3, 3, 3, 1]
