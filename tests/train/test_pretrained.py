"""A face network from its package: read only if it is the one, and put where it belongs."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from train import networks, pretrained

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


def package(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """A package with random weights, one tensor of it not in eight bits; its digest and what it holds."""
    rng = np.random.default_rng(11)
    entries, shard, held = [], b"", {}
    for name, shape in tensor_shapes().items():
        entry: dict[str, object] = {"name": name, "shape": shape, "dtype": "float32"}
        if name == "conv64_1/conv1/conv/bias":
            values = rng.normal(size=shape).astype(np.float32)
            shard += values.tobytes()
        else:
            stored = rng.integers(0, 256, shape, dtype=np.uint8)
            entry["quantization"] = {"dtype": "uint8", "scale": 0.01, "min": -1.2}
            values = stored.astype(np.float32) * np.float32(0.01) + np.float32(-1.2)
            shard += stored.tobytes()
        entries.append(entry)
        held[name] = values
    manifest = json.dumps([{"weights": entries, "paths": ["face_recognition_model.bin"]}]).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in ((pretrained.MANIFEST, manifest), (pretrained.SHARD, shard)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest(), held


class Used(dict[str, np.ndarray]):
    """Remembers what was taken."""

    def __init__(self, held: dict[str, np.ndarray]) -> None:
        super().__init__(held)
        self.taken: list[str] = []

    def __getitem__(self, name: str) -> np.ndarray:
        self.taken.append(name)
        return super().__getitem__(name)


def test_tensors_come_back_from_eight_bits(tmp_path: Path) -> None:
    digest, held = package(tmp_path / "package.tgz")
    found = pretrained.read_package(tmp_path / "package.tgz", digest)
    assert found.keys() == held.keys()
    for name, values in held.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


def test_another_file_is_refused_by_its_digest(tmp_path: Path) -> None:
    package(tmp_path / "package.tgz")
    with pytest.raises(UsageError, match=r"is not @vladmandic/face-api 1\.7\.15"):
        pretrained.read_package(tmp_path / "package.tgz")
    assert pretrained.main(["--package", str(tmp_path / "none.tgz"), "--output", str(tmp_path / "o.keras")]) == 2
    assert not (tmp_path / "o.keras").exists()


def test_every_tensor_but_the_face_descriptor_is_used_and_sits_where_its_place_in_the_network_is(
    tmp_path: Path,
) -> None:
    digest, held = package(tmp_path / "package.tgz")
    tensors = Used(pretrained.read_package(tmp_path / "package.tgz", digest))
    network = networks.build_deployed(networks.network_config("face_residual"), (48, 48, 1), 7)
    pretrained.fill(network, tensors)
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
    digest, held = package(tmp_path / "package.tgz")
    network = networks.build_deployed(networks.network_config("face_residual"), (48, 48, 1), 7)
    pretrained.fill(network, pretrained.read_package(tmp_path / "package.tgz", digest))
    grey = 90.0
    kernel, bias = network.get_layer("stem").get_weights()
    ours = kernel.sum(axis=(0, 1, 2)) * (grey / 127.5 - 1) + bias
    normalised = (grey - pretrained.DLIB_MEAN) / pretrained.DLIB_SCALE
    plain = np.einsum("hwco,c->o", held["conv32_down/conv/filters"], normalised) + held["conv32_down/conv/bias"]
    theirs = plain * held["conv32_down/scale/weights"] + held["conv32_down/scale/biases"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
