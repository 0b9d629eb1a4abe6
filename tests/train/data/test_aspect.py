"""One rule for aspect: of the same file, of whatever ratio, training and the device make the same tensor."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.checks import picture_files
from edge_contract.errors import UsageError
from edge_contract.manifest import WHOLE, FaceCrop, ModelManifest
from edge_contract.package import read_file
from edge_vision.faces import HaarDetector
from edge_vision.recognition import decoded, fill, find
from tests.conftest import REPOSITORY
from train import prepare
from train.data import class_folders, dataset, rows
from train.data.dataset import Dataset
from train.data.rows import PictureFormat
from train.prepare import PrepareParams

SHIPPED = read_file(REPOSITORY / "models" / "emotion-5.ewm").manifest
DETECTOR = HaarDetector()


def manifest_of(form: PictureFormat, crop: FaceCrop = WHOLE) -> ModelManifest:
    return msgspec.structs.replace(SHIPPED, input=form.image, crop=crop)


def scene(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth colour picture with noise: squeezed, shifted or turned it is another one. BGR."""
    rng = np.random.default_rng([seed, width, height])
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large + rng.normal(0, 4, large.shape), 0, 255), np.uint8)


def as_trained(root: Path, file: bytes, form: PictureFormat, suffix: str) -> NDArray[np.uint8]:
    """What `make data SOURCE=folder` reads of the file."""
    for name in ("one", "two"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / f"picture{suffix}").write_bytes(file)
    return class_folders.read(root, form).images[0]


def as_deployed(file: bytes, form: PictureFormat) -> NDArray[np.uint8]:
    """What the device shows a model of whole pictures."""
    manifest = manifest_of(form)
    tensor = np.zeros(manifest.input.shape[1:], np.uint8)
    picture = decoded(file, manifest)
    [box] = find(picture, DETECTOR, manifest.crop)
    fill(tensor, picture, box, manifest)
    return tensor


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("colour", ["grey", "rgb"])
@pytest.mark.parametrize("size", [(160, 120), (120, 160), (320, 180), (562, 762), (641, 480), (48, 48), (31, 333)])
def test_training_and_the_device_make_the_same_tensor_of_a_file(
    size: tuple[int, int], colour: str, suffix: str, tmp_path: Path
) -> None:
    form = msgspec.convert({"height": 48, "width": 48, "colour": colour}, PictureFormat)
    file = bytes(cv2.imencode(suffix, scene(*size))[1])
    assert np.array_equal(as_trained(tmp_path, file, form, suffix), as_deployed(file, form))


@settings(max_examples=60)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    side=st.integers(8, 96),
    colour=st.sampled_from(["grey", "rgb"]),
    suffix=st.sampled_from([".png", ".jpg", ".webp", ".bmp"]),
)
def test_every_size_and_ratio_gives_one_tensor(width: int, height: int, side: int, colour: str, suffix: str) -> None:
    form = msgspec.convert({"height": side, "width": side, "colour": colour}, PictureFormat)
    file = bytes(cv2.imencode(suffix, scene(width, height))[1])
    assert np.array_equal(rows.fitted(rows.decoded(file, form), form), as_deployed(file, form))


def position(label: int, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A bright disc a fifth of the picture left or right of the middle of 160x120: the class is where it lies."""
    width, height = size
    picture = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
    cv2.circle(picture, (round(width * (0.3 if label else 0.7)), height // 2), height // 10, (90, 220, 200), -1)
    return picture


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_what_prepare_writes_of_a_class_that_lies_in_position_is_what_a_device_sees(
    colour: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    files = []
    for label, name in enumerate(("left", "right")):
        folder = tmp_path / "source" / name
        folder.mkdir(parents=True)
        for number in range(30):
            path = folder / f"{number:02}.png"
            cv2.imwrite(str(path), position(label, (160, 120), rng))
            files.append(path)
    params = msgspec.convert({"source": str(tmp_path / "source"), "colour": colour}, PrepareParams)
    data, report = prepare.prepare(params)
    form = PictureFormat(48, 48, params.colour)
    seen = {as_deployed(path.read_bytes(), form).tobytes() for path in files}
    assert {image.tobytes() for image in data.images} == seen
    assert len(report.resized) == len(files)
    # The disc is as round as it was: squeezed to a square it would be narrower than high.
    bright = data.images.max(axis=3) > 120
    assert np.abs(bright.any(axis=1).sum(axis=1) - bright.any(axis=2).sum(axis=1)).max() <= 1


@pytest.mark.parametrize("size", [(562, 762), (562, 560), (100, 100)])
def test_a_face_crop_of_any_ratio_is_trained_on_as_the_device_frames_it(size: tuple[int, int], tmp_path: Path) -> None:
    """The picture's central square is the square that the manifest's crop lays around the face."""
    form, crop = PictureFormat(), FaceCrop()
    file = bytes(cv2.imencode(".png", scene(*size))[1])
    side = min(size)
    box_side = side / crop.margin
    center_x, center_y = size[0] / 2, size[1] / 2 - crop.shift_y * side
    sighting = picture_files.Sighting(
        file, picture_files.Box(center_x - box_side / 2, center_y - box_side / 2, box_side, box_side)
    )
    [tensor] = picture_files.device_tensors([sighting], manifest_of(form, crop))
    assert np.array_equal(as_trained(tmp_path, file, form, ".png"), tensor)


@pytest.mark.parametrize("crop", [WHOLE, FaceCrop()], ids=["frame", "face"])
def test_the_gates_own_files_are_of_several_ratios_and_read_alike(crop: FaceCrop) -> None:
    images = np.stack([cv2.resize(scene(60, 60, seed), (48, 48)) for seed in range(10)])
    files = picture_files.photographed(images, crop)
    shapes = [decoded(file.file, SHIPPED).shape for file in files]
    assert len({round(width / height, 1) for height, width in shapes}) >= (5 if crop is WHOLE else 4)
    manifest = manifest_of(PictureFormat(colour="rgb"), crop)
    seen = picture_files.device_tensors(files, manifest)
    read = picture_files.training_images(files, crop, manifest.input)
    assert np.abs(seen.astype(int) - read).max() <= (0 if crop is WHOLE else picture_files.ROUNDING)
    assert np.abs(seen.astype(int) - images).mean() < 40  # tinted, and else the images that training had


def test_a_squeezing_reader_is_what_the_gate_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault this is about: training squeezes pictures of 4:3 that the device cuts."""

    def squeezed(picture: NDArray[np.uint8], form: PictureFormat) -> NDArray[np.uint8]:
        small = cv2.resize(picture, (form.width, form.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small[:, :, ::-1] if form.colour == "rgb" else small[:, :, None], np.uint8)

    monkeypatch.setattr("train.data.rows.fitted", squeezed)
    images = np.stack([cv2.resize(scene(60, 60, seed), (48, 48)) for seed in range(10)])
    for crop in (WHOLE, FaceCrop()):
        manifest = manifest_of(PictureFormat(colour="rgb"), crop)
        files = picture_files.photographed(images, crop)
        seen = picture_files.device_tensors(files, manifest)
        read = picture_files.training_images(files, crop, manifest.input)
        assert np.abs(seen.astype(int) - read).max() > picture_files.ROUNDING


def test_a_size_that_is_no_square_is_refused_before_a_picture_is_read() -> None:
    with pytest.raises(UsageError, match="height is 48 and") as refused:
        prepare.prepare(PrepareParams(source="nowhere", height=48, width=64))
    assert "same value" in refused.value.remedy


def test_a_dataset_whose_pictures_are_no_squares_is_refused_before_it_is_trained_on(tmp_path: Path) -> None:
    images = np.zeros((4, 16, 24, 1), np.uint8)
    labels = np.arange(4, dtype=np.uint8) % 2
    votes = np.empty((4, 0), np.uint8)
    dataset.save(Dataset(images, labels, labels * 0, ("a", "b"), votes, (), "x"), tmp_path / "dataset.npz")
    with pytest.raises(UsageError, match="pictures of 24x16"):
        dataset.load(tmp_path / "dataset.npz")
