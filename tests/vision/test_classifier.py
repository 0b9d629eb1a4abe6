"""The interpreter behind its digest: nothing is loaded before it holds, and what does not fit is refused by name."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_contract.errors import TrustError, UsageError
from edge_contract.manifest import ImageInput, ModelManifest, Output, digest_of
from edge_contract.package import ModelPackage
from edge_vision import classifier
from edge_vision.classifier import Classifier


def changed(manifest: ModelManifest, **fields: object) -> ModelManifest:
    return msgspec.structs.replace(manifest, **fields)


def test_one_flipped_bit_is_refused_before_the_interpreter_sees_it(
    tiny: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_interpreter() -> None:
        raise AssertionError("the runtime was reached before the digest was checked")

    monkeypatch.setattr(classifier, "_runtime", no_interpreter)
    damaged = bytes([tiny.model[0] ^ 1]) + tiny.model[1:]
    for model in (damaged, tiny.model[:-1], b""):
        with pytest.raises(TrustError, match="digest"):
            Classifier(model, tiny.manifest)


def test_bytes_that_are_no_model_are_refused_though_their_digest_holds(tiny: ModelPackage) -> None:
    rubbish = b"not a flatbuffer" * 10
    manifest = changed(tiny.manifest, digest=digest_of(rubbish), size=len(rubbish))
    with pytest.raises(UsageError, match="cannot load the model of tiny 1"):
        Classifier(rubbish, manifest)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"input": ImageInput(height=64, width=64, color="gray")}, r"input.*\[1, 48, 48, 1\].*\[1, 64, 64, 1\]"),
        ({"input": ImageInput(height=48, width=48, color="rgb")}, r"input.*\[1, 48, 48, 3\]"),
        ({"labels": ("cat", "dog")}, r"output.*\[1, 7\].*\[1, 2\]"),
        ({"output": Output(dtype="float32")}, "output.*uint8.*float32"),
        ({"output": Output(dtype="uint8", scale=1 / 255)}, "quantized by 0.00390625"),
        ({"output": Output(dtype="uint8", scale=1 / 256, zero_point=-128)}, "-128"),
    ],
)
def test_a_manifest_that_does_not_fit_the_model_is_refused_by_tensor(
    tiny: ModelPackage, fields: dict[str, object], names: str
) -> None:
    with pytest.raises(UsageError, match=names):
        Classifier(tiny.model, changed(tiny.manifest, **fields))


def test_probabilities_are_one_per_label_and_sum_to_one(tiny: ModelPackage) -> None:
    made = Classifier(tiny.model, tiny.manifest)
    for seed in range(5):
        made.input[:] = np.random.default_rng(seed).integers(0, 256, made.input.shape, np.uint8)
        probabilities = made.classify(made.input)
        assert probabilities.shape == (7,)
        assert probabilities.dtype == np.float32
        assert probabilities.sum() == pytest.approx(1.0, abs=7 / 256)
        assert probabilities.tolist() == pytest.approx((made.raw(made.input)[0] / 256).tolist())


def test_a_tensor_of_another_shape_or_type_is_refused_and_the_next_one_works(tiny: ModelPackage) -> None:
    made = Classifier(tiny.model, tiny.manifest)
    for wrong in (np.zeros((1, 48, 48), np.uint8), np.zeros((1, 48, 48, 1), np.float32)):
        with pytest.raises(UsageError, match="the model takes uint8"):
            made.classify(wrong)
    assert made.classify(made.input).shape == (7,)


def test_a_file_that_is_not_there_is_named(tiny: ModelPackage, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.tflite"):
        classifier.load(tmp_path / "absent.tflite", tiny.manifest)


def test_a_model_file_loads_and_names_its_runtime(tiny: ModelPackage, tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.model)
    assert classifier.load(path, tiny.manifest).runtime == classifier.runtime()
    assert classifier.runtime().split()[0] in {"litert", "tflite-runtime"}
