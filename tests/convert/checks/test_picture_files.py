"""From a picture file as a user has it: the device's tensor and answer are those of training's reading of it."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from convert.checks import picture_files
from convert.checks.picture_files import ROUNDING, Sighting
from edge_contract.errors import UsageError
from edge_contract.manifest import FaceCrop, ModelManifest
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import HaarDetector, open_detector
from edge_vision.picture import Box
from tests.conftest import REPOSITORY
from train.data import class_folders
from train.data.rows import EMOTIONS, PictureFormat
from train.data.synthetic import render

FACE = Box(170.0, 60.0, 110.0, 110.0)
"""Where the portrait's face is."""


@pytest.fixture(scope="module")
def shipped() -> ModelPackage:
    return read_file(REPOSITORY / "models" / "emotion-5.ewm")


@pytest.fixture(scope="module")
def colour_portrait() -> NDArray[np.uint8]:
    """The public-domain portrait inside scikit-image, BGR [512, 512, 3]."""
    data = pytest.importorskip("skimage.data", reason="scikit-image, which carries the portrait, is not installed")
    return np.asarray(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)


def encoded(picture: NDArray[np.uint8], form: str) -> bytes:
    return bytes(cv2.imencode(form, picture)[1])


def read_as_a_folder(sightings: list[Sighting], manifest: ModelManifest, root: Path) -> NDArray[np.uint8]:
    """What `make data SOURCE=folder` reads of the faces, cut out and saved as PNG."""
    for name in ("one", "two"):  # a folder of one class is no data set
        (root / name).mkdir()
        for number, sighting in enumerate(sightings):
            face = picture_files.cut_out(sighting, manifest.crop)
            (root / name / f"{number:03}.png").write_bytes(encoded(face, ".png"))
    form = PictureFormat(manifest.input.height, manifest.input.width, "grey")
    return class_folders.read(root, form).images[: len(sightings)]


def answers(package: ModelPackage, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
    classifier = Classifier(package.model, package.manifest)
    return np.stack([classifier.classify(tensor[np.newaxis]) for tensor in tensors])


def assert_same(package: ModelPackage, sightings: list[Sighting], root: Path) -> None:
    """Device and training read the same faces, and the model says the same of them unless it is undecided."""
    manifest = package.manifest
    seen = picture_files.device_tensors(sightings, manifest)
    read = read_as_a_folder(sightings, manifest, root)
    assert np.array_equal(read, picture_files.training_images(sightings, manifest.crop, manifest.input))
    assert np.abs(seen.astype(int) - read).max() <= ROUNDING
    of_seen, of_read = answers(package, seen), answers(package, read)
    assert np.abs(of_seen - of_read).max() < 0.05
    ranked = np.sort(of_read, axis=1)
    decided = ranked[:, -1] - ranked[:, -2] > 0.1
    assert decided.mean() > 0.5
    assert of_seen[decided].argmax(axis=1).tolist() == of_read[decided].argmax(axis=1).tolist()


@pytest.mark.parametrize("form", [".jpg", ".png"])
def test_a_colour_portrait_from_a_file_is_answered_as_training_reads_it(
    shipped: ModelPackage, colour_portrait: NDArray[np.uint8], form: str, tmp_path: Path
) -> None:
    file = encoded(colour_portrait, form)
    # Where a detector may put it, off by some pixels and of several sizes.
    boxes = [FACE, FACE._replace(left=163.4, width=122.7), FACE._replace(top=52.2, height=131.0)]
    assert_same(shipped, [Sighting(file, box) for box in boxes], tmp_path)


def test_a_face_that_a_detector_found_in_the_file_is_answered_as_training_reads_it(
    shipped: ModelPackage, colour_portrait: NDArray[np.uint8], tmp_path: Path
) -> None:
    found = HaarDetector().detect(np.asarray(cv2.cvtColor(colour_portrait, cv2.COLOR_BGR2GRAY), np.uint8))
    assert found
    assert_same(shipped, [Sighting(encoded(colour_portrait, ".jpg"), face.box) for face in found], tmp_path)


def test_drawn_faces_as_files_are_answered_as_training_reads_them(shipped: ModelPackage, tmp_path: Path) -> None:
    faces = [render(emotion, np.random.default_rng([3, number])) for number, emotion in enumerate(EMOTIONS)]
    images = np.stack([cv2.resize(face, (48, 48)).reshape(48, 48, 1) for face in faces])
    assert_same(shipped, picture_files.photographed(images, shipped.manifest.crop), tmp_path)


def test_development_pictures_are_answered_as_training_reads_them(
    shipped: ModelPackage, shared_data: Path, tmp_path: Path
) -> None:
    """A file as it lies on a disk, and frames of a clip of two people (PNG: its drawn boxes are of pure colour)."""
    sightings = [Sighting((shared_data / "astronaut.png").read_bytes(), FACE)]
    clip = cv2.VideoCapture(str(shared_data / "two_faces_boxes_drawn.gif"))
    detector = open_detector(shared_data / "face_detection_yunet_2023mar.onnx")
    while (frame := clip.read())[0] and len(sightings) < 40:
        picture = np.asarray(frame[1], np.uint8)
        sightings += [Sighting(encoded(picture, ".png"), face.box) for face in detector.detect(picture)]
    assert len(sightings) >= 40
    assert_same(shipped, sightings, tmp_path)


def test_a_face_over_the_edge_of_the_file_repeats_the_border_on_both_sides(
    shipped: ModelPackage, colour_portrait: NDArray[np.uint8], tmp_path: Path
) -> None:
    file = encoded(colour_portrait, ".png")
    corners = [Box(-40.0, -30.0, 120.0, 120.0), Box(450.5, 440.5, 130.0, 130.0)]
    assert_same(shipped, [Sighting(file, box) for box in corners], tmp_path)


def test_a_resize_method_that_training_did_not_use_shows(
    shipped: ModelPackage, colour_portrait: NDArray[np.uint8]
) -> None:
    manifest = shipped.manifest
    bilinear = msgspec.structs.replace(manifest, input=msgspec.structs.replace(manifest.input, resize="bilinear"))
    sightings = [Sighting(encoded(colour_portrait, ".png"), FACE)]
    seen = picture_files.device_tensors(sightings, bilinear)
    read = picture_files.training_images(sightings, manifest.crop, manifest.input)
    assert np.abs(seen.astype(int) - read).max() > ROUNDING


def test_what_is_no_picture_is_one_sentence(shipped: ModelPackage) -> None:
    broken = [Sighting(b"not a picture", FACE)]
    with pytest.raises(UsageError, match="no picture"):
        picture_files.device_tensors(broken, shipped.manifest)
    with pytest.raises(UsageError, match="no picture"):
        picture_files.cut_out(broken[0], FaceCrop())
