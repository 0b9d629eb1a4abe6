"""The self-test of a model that lies in no slot: through a temporary one, in the same child with the same limits."""

import tempfile
from pathlib import Path

from edge_agent.models import selftest
from edge_agent.models.selftest import Verdict
from edge_agent.models.slots import ActiveModel, Slots


def rehearse(model: ActiveModel) -> Verdict:
    """Run goldens and budgets of a verified model on this board; takes seconds.

    Raises:
        OSError: there is no room for a copy, or no process can be started.
    """
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(model.model)
        slots = Slots(Path(folder))
        return selftest.run(slots.path(slots.stage(file, model.manifest)))


def told(model: ActiveModel, verdict: Verdict) -> str:
    """The verdict as a sentence."""
    name = f"{model.manifest.name} {model.manifest.release}"
    if not verdict.passed:
        return f"{name} failed: {verdict.reason}"
    latency = f"{1e3 * verdict.latency:.2f} ms an inference" if verdict.latency is not None else "latency unknown"
    memory = f"{verdict.memory / 2**20:.1f} MB" if verdict.memory is not None else "memory unknown"
    return f"{name} answers its {len(model.manifest.goldens)} known inputs rightly here; {latency}, {memory}"
