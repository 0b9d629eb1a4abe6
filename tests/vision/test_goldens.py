"""Known answers find a runtime that computes something else."""

import msgspec
import pytest

from edge_contract.manifest import Golden, ModelManifest
from edge_contract.package import ModelPackage
from edge_vision import goldens
from edge_vision.classifier import Classifier


def with_first_output(manifest: ModelManifest, *, off_by: int) -> ModelManifest:
    first = manifest.goldens[0]
    wrong = Golden(input=first.input, output=(first.output[0] + off_by, *first.output[1:]))
    return msgspec.structs.replace(manifest, goldens=(wrong, *manifest.goldens[1:]))


def test_without_delegates_every_golden_is_exact(tiny: ModelPackage) -> None:
    made = Classifier(tiny.model, tiny.manifest, delegates=False)
    assert goldens.check(made, tiny.manifest, goldens.EXACT) == goldens.GoldenReport(ok=True, worst=0, failed=0, run=8)


def test_with_delegates_every_golden_is_within_one_step(tiny: ModelPackage) -> None:
    made = Classifier(tiny.model, tiny.manifest)
    assert goldens.check(made, tiny.manifest, goldens.WITH_DELEGATES).ok


@pytest.mark.parametrize(("off_by", "tolerance", "ok"), [(1, 0, False), (1, 1, True), (2, 1, False), (-90, 1, False)])
def test_one_wrong_answer_in_one_golden_is_found(tiny: ModelPackage, off_by: int, tolerance: int, ok: bool) -> None:
    manifest = with_first_output(tiny.manifest, off_by=off_by)
    report = goldens.check(Classifier(tiny.model, tiny.manifest, delegates=False), manifest, tolerance)
    assert report == goldens.GoldenReport(ok=ok, worst=abs(off_by), failed=0 if ok else 1, run=8)


def test_a_manifest_without_goldens_proves_nothing(tiny: ModelPackage) -> None:
    manifest = msgspec.structs.replace(tiny.manifest, goldens=())
    assert not goldens.check(Classifier(tiny.model, tiny.manifest), manifest, goldens.WITH_DELEGATES).ok
