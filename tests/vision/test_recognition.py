"""From a picture to the model's answers, with the real detector and the real interpreter."""

import cv2
import msgspec
import numpy as np
import pytest

from edge_contract.errors import UsageError
from edge_contract.manifest import FaceCrop
from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from edge_vision.crop import face_crop
from edge_vision.faces import HaarDetector
from edge_vision.picture import Box
from edge_vision.recognition import answer, decoded, fill, find, search_copy


def test_a_face_is_found_in_the_small_copy_and_named_in_pixels_of_the_picture(portrait: np.ndarray) -> None:
    large = np.asarray(cv2.resize(portrait, None, fx=2.5, fy=2.5), np.uint8)
    copy = search_copy(large)
    assert copy.pixels.shape == (320, 320)
    assert copy.scale == 4.0
    boxes = find(large, HaarDetector(), FaceCrop())
    assert boxes == [copy.in_picture(face.box) for face in HaarDetector().detect(copy.pixels)]
    biggest = boxes[0]
    assert 500 < biggest.left + biggest.width / 2 < 640  # of 1280 pixels: in the copy no coordinate passes 320


def test_a_colour_picture_is_searched_in_grey(portrait: np.ndarray) -> None:
    colour = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_GRAY2BGR), np.uint8)
    assert search_copy(colour).pixels.ndim == 2
    assert find(colour, HaarDetector(), FaceCrop()) == find(portrait, HaarDetector(), FaceCrop())


def test_a_model_of_whole_pictures_looks_at_the_central_square_and_searches_nothing() -> None:
    whole = FaceCrop(around="frame", margin=1.0, shift_y=0.0)
    for width, height in ((640, 480), (300, 200), (641, 480), (1001, 750)):
        square = Box((width - height) / 2, 0.0, height, height)
        assert find(np.zeros((height, width), np.uint8), HaarDetector(), whole) == [square]


def test_an_answer_is_the_models_own_to_the_cropped_face_with_both_durations(
    portrait: np.ndarray, tiny: ModelPackage
) -> None:
    classifier = Classifier(tiny.model, tiny.manifest)
    box = find(portrait, HaarDetector(), tiny.manifest.crop)[0]
    times = iter((10.0, 10.25, 11.0))
    found = answer(classifier, portrait, box, lambda: next(times))
    assert (found.cropping, found.invoking) == (0.25, 0.75)
    tensor = np.zeros(tiny.manifest.input.shape, np.uint8)
    face_crop(portrait, box, tiny.manifest.input, tiny.manifest.crop, tensor)
    assert found.probabilities.tolist() == classifier.classify(tensor).tolist()
    assert found.probabilities.sum() == pytest.approx(1.0, abs=0.05)


def test_a_picture_is_decoded_in_the_colours_that_the_model_takes(portrait: np.ndarray, tiny: ModelPackage) -> None:
    _, file = cv2.imencode(".png", cv2.cvtColor(portrait, cv2.COLOR_GRAY2BGR))
    manifest = tiny.manifest
    rgb = msgspec.structs.replace(manifest, input=msgspec.structs.replace(manifest.input, color="rgb"))
    assert decoded(file.tobytes(), manifest).shape == (512, 512)
    assert decoded(file.tobytes(), rgb).shape == (512, 512, 3)


def test_a_box_without_area_is_refused_before_the_model_runs(portrait: np.ndarray, tiny: ModelPackage) -> None:
    with pytest.raises(UsageError, match="no box"):
        answer(Classifier(tiny.model, tiny.manifest), portrait, Box(10.0, 10.0, 0.0, 20.0))
    with pytest.raises(UsageError, match="no box"):
        fill(np.zeros(tiny.manifest.input.shape, np.uint8), portrait, Box(1.0, 1.0, -1.0, 2.0), tiny.manifest)
