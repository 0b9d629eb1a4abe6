"""What is measured of a picture says what is wrong with it: one in the dark is not called blurred, nor the reverse."""

import cv2
import numpy as np
import pytest

from edge_vision.faces import working_copy
from edge_vision.picture import Pixels
from edge_vision.quality import Quality, quality_of, quality_of_tensor

NOISE = np.random.default_rng(5)


def searched(portrait: Pixels, light: float = 1.0, noise: float = 0.0, blur: float = 0.0) -> Quality:
    """Of the portrait as a camera of 512x512 gives it: less light, the sensor's noise, out of focus."""
    picture = portrait if not blur else cv2.GaussianBlur(portrait, (0, 0), blur)
    lit = picture * light + NOISE.normal(0.0, noise, picture.shape)
    return quality_of(working_copy(np.clip(lit, 0, 255).round().astype(np.uint8))[0])


def sharp(quality: Quality) -> float:
    assert quality.sharpness is not None
    return quality.sharpness


@pytest.mark.parametrize("light", [0.5, 0.25, 0.1])
def test_sharpness_hardly_follows_the_light_and_brightness_and_contrast_do(portrait: Pixels, light: float) -> None:
    bright, dark = searched(portrait), searched(portrait, light)
    assert dark.brightness == pytest.approx(light * bright.brightness, rel=0.05)
    assert dark.contrast == pytest.approx(light * bright.contrast, rel=0.05)
    assert sharp(dark) == pytest.approx(sharp(bright), rel=0.1)


def test_noise_in_the_dark_is_hardly_taken_for_detail(portrait: Pixels) -> None:
    assert sharp(searched(portrait, 0.25, noise=3.0)) < 1.4 * sharp(searched(portrait))


def test_sharpness_falls_with_blur_at_every_light_and_brightness_stays(portrait: Pixels) -> None:
    for light in (1.0, 0.3):
        found = [searched(portrait, light, blur=blur) for blur in (0.0, 2.0, 4.0, 8.0)]
        values = [sharp(quality) for quality in found]
        assert values == sorted(values, reverse=True)
        assert values[-1] < 0.3 * values[0]
        assert found[-1].brightness == pytest.approx(found[0].brightness, rel=0.02)


@pytest.mark.parametrize("level", [0, 5, 255])
def test_of_a_covered_or_flat_picture_no_sharpness_is_told(level: int) -> None:
    flat = np.clip(level + NOISE.normal(0.0, 1.0, (240, 320)), 0, 255).round().astype(np.uint8)
    found = quality_of(flat)
    assert found.sharpness is None
    assert found.brightness == pytest.approx(level / 255, abs=0.01)


def test_a_models_input_is_measured_in_grey_whatever_its_colours(portrait: Pixels) -> None:
    face = cv2.resize(portrait[60:220, 150:310], (48, 48), interpolation=cv2.INTER_AREA)
    gray = quality_of(face)
    assert quality_of_tensor(face[None, :, :, None]) == gray
    assert quality_of_tensor(np.repeat(face[None, :, :, None], 3, axis=3)) == gray
