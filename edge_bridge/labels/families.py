"""Labels as samples of `/metrics`: what was collected, what people labelled, and how right each model was by it."""

from collections.abc import Callable
from typing import Final

from edge_bridge.labels.collector import Collector
from edge_bridge.labels.desk import Desk
from edge_bridge.labels.queue import STRATA
from edge_bridge.metrics.text import Family, Text, escape
from edge_bridge.storage.engine import StoreError

MODELS: Final = 50
"""Shown at most: those with the most labelled crops."""
_STORED: Final = Family(
    "edgewise_label_crops_stored_total", "Sealed crops committed; one that is repeated counts again."
)
_REFUSED: Final = Family("edgewise_label_crops_refused_total", "Crops refused where labels are collected, by reason.")
_HELD: Final = Family("edgewise_label_crops", "Sealed crops that are held, by stratum.")
_LABELLED: Final = Family(
    "edgewise_labelled_crops", "Crops with a label that more than half of those agree on who answered."
)
_ACCURACY: Final = Family(
    "edgewise_labelled_accuracy_ratio", "Share of right answers by labels from the field, random stratum, weighted."
)
_LOWER: Final = Family("edgewise_labelled_accuracy_ratio_lower", "Lower end of its 95 % interval.")
_UPPER: Final = Family("edgewise_labelled_accuracy_ratio_upper", "Upper end of its 95 % interval.")


def writer(desk: Desk, collector: Collector) -> Callable[[float, bool], str]:
    """What `metrics.page` calls; without the database only what the collector counts."""

    def write(_now: float, openmetrics: bool) -> str:
        out = Text(openmetrics=openmetrics)
        out.family(_STORED, "counter", [('where="bridge"', collector.stored)])
        refused = sorted(collector.refused.items())
        out.family(_REFUSED, "counter", ((f'reason="{reason}"', count) for reason, count in refused))
        try:
            found = desk.report()
        except StoreError:  # the collector says so
            return str(out)
        out.family(_HELD, "gauge", ((f'stratum="{each}"', found.crops.get(each, 0)) for each in STRATA))
        by_model: dict[str, int] = {}
        for (model, _), count in found.labelled.items():
            by_model[model] = by_model.get(model, 0) + count
        for model, each in found.accuracy.items():
            by_model[model] = max(by_model.get(model, 0), each.crops)
        shown = sorted(by_model, key=lambda model: (-by_model[model], model))[:MODELS]
        labelled = (
            (f'model="{escape(model)}",stratum="{stratum}"', found.labelled.get((model, stratum), 0))
            for model in shown
            for stratum in STRATA
        )
        out.family(_LABELLED, "gauge", labelled)
        known = [(f'model="{escape(model)}"', found.accuracy[model]) for model in shown if model in found.accuracy]
        out.family(_ACCURACY, "gauge", ((labels, round(each.share, 6)) for labels, each in known))
        out.family(_LOWER, "gauge", ((labels, round(each.low, 6)) for labels, each in known))
        out.family(_UPPER, "gauge", ((labels, round(each.high, 6)) for labels, each in known))
        return str(out)

    return write
