"""What augmentation does to pixels, and that a seed means the same everywhere."""

import keras
import numpy as np
import pytest

from train.loop import augment
from train.loop.augment import COLUMN
from train.loop.settings import Augment

STILL = Augment(**dict.fromkeys(Augment.__struct_fields__, 0))


def changed(pixels: np.ndarray, strength: Augment = STILL, **fixed: float) -> np.ndarray:
    rows = augment.draw(strength, len(pixels), np.random.default_rng(1))
    for name, value in fixed.items():
        rows[:, COLUMN[name]] = value
    seed = keras.random.SeedGenerator(1)
    everything = Augment(erase=0.5, blur=2.0)  # `fixed` says how much of it; nothing is left out of the graph
    return np.asarray(
        keras.ops.convert_to_numpy(augment.apply(keras.ops.convert_to_tensor(pixels), rows, seed, everything))
    )


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (3, 12, 10, 2)).astype(np.float32)


def test_strength_zero_changes_no_pixel(pixels: np.ndarray) -> None:
    np.testing.assert_allclose(changed(pixels, flip=1), pixels, atol=1e-3)
    assert not STILL.changes_pixels()
    assert Augment().changes_pixels()


def test_flip_mirrors_left_and_right(pixels: np.ndarray) -> None:
    np.testing.assert_allclose(changed(pixels, flip=-1), pixels[:, :, ::-1], atol=1e-3)


def test_shift_moves_whole_pixels_and_repeats_the_edge(pixels: np.ndarray) -> None:
    moved = changed(pixels, flip=1, shift_x=0.2)  # a fifth of ten columns
    np.testing.assert_allclose(moved[:, :, :8], pixels[:, :, 2:], atol=1e-3)
    np.testing.assert_allclose(moved[:, :, 9], pixels[:, :, 9], atol=1e-3)


def test_a_turn_by_half_a_circle_mirrors_both_ways(pixels: np.ndarray) -> None:
    np.testing.assert_allclose(changed(pixels, flip=1, angle=np.pi), pixels[:, ::-1, ::-1], atol=0.1)


def test_zoom_by_two_shows_the_middle(pixels: np.ndarray) -> None:
    flat = np.full((1, 12, 12, 1), 50, np.float32)
    flat[:, 3:9, 3:9] = 200
    assert changed(flat, flip=1, zoom=2.0).min() > 130
    assert np.median(changed(flat, flip=1, zoom=0.5)) == pytest.approx(50, abs=1)


def test_erasing_hides_the_drawn_rectangle_only(pixels: np.ndarray) -> None:
    hidden = changed(pixels, flip=1, erase_x=0.5, erase_y=0.5, erase_w=0.4, erase_h=0.5, erase_value=9)
    assert (hidden[:, 3:9, 3:7] == 9).all()
    np.testing.assert_allclose(hidden[:, :3], pixels[:, :3], atol=1e-3)


def test_light_and_contrast_stay_within_grey_levels(pixels: np.ndarray) -> None:
    wild = changed(pixels, flip=1, contrast=5, brightness=100, noise=50)
    assert wild.min() >= 0
    assert wild.max() <= 255
    np.testing.assert_allclose(changed(pixels, flip=1, light=0.5), pixels / 2, atol=1e-3)


def test_a_blur_past_one_is_wider_than_a_mean_of_nine() -> None:
    dot = np.zeros((1, 15, 15, 1), np.float32)
    dot[0, 7, 7] = 243
    narrow, wide = changed(dot, flip=1, blur=1.0), changed(dot, flip=1, blur=2.0)
    assert np.count_nonzero(narrow > 1e-3) == 9
    assert np.count_nonzero(wide > 1e-3) == 49
    assert wide.sum() == pytest.approx(dot.sum(), rel=1e-4)


def test_what_has_no_strength_is_left_out(pixels: np.ndarray) -> None:
    rows = augment.draw(Augment(), len(pixels), np.random.default_rng(1))
    rows[:, COLUMN["contrast"]], rows[:, COLUMN["brightness"]], rows[:, COLUMN["light"]] = 1, 0, 1
    same = augment.apply(keras.ops.convert_to_tensor(pixels), rows, keras.random.SeedGenerator(1), STILL)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(same), pixels, atol=1e-3)


def drawn(**columns: list[float]) -> np.ndarray:
    rows = augment.draw(STILL, 3, np.random.default_rng(1))
    for name, values in columns.items():
        rows[:, COLUMN[name]] = values
    return rows


def test_mixing_blends_each_row_with_the_row_before(pixels: np.ndarray) -> None:
    rows = drawn(mix=[1.0, 0.75, 0.5])
    mixed = np.asarray(augment.mix_targets(np.eye(3, dtype=np.float32), rows))
    np.testing.assert_allclose(mixed, [[1, 0, 0], [0.25, 0.75, 0], [0, 0.5, 0.5]])
    blended = np.asarray(augment.mix_pictures(pixels, rows))
    np.testing.assert_allclose(blended[0], pixels[0], rtol=1e-6)
    np.testing.assert_allclose(blended[1], 0.25 * pixels[0] + 0.75 * pixels[1], rtol=1e-5)


def test_a_joined_picture_is_its_own_above_the_line_and_the_one_before_below(pixels: np.ndarray) -> None:
    rows = drawn(join=[augment.NOT_JOINED, 0.5, 0.75])
    joined = np.asarray(augment.mix_pictures(pixels, rows))
    np.testing.assert_allclose(joined[0], pixels[0], rtol=1e-6)
    np.testing.assert_allclose(joined[1, :4], pixels[1, :4], rtol=1e-6)
    np.testing.assert_allclose(joined[1, 8:], pixels[0, 8:], rtol=1e-6)
    targets = np.asarray(augment.mix_targets(np.eye(3, dtype=np.float32), rows))
    np.testing.assert_allclose(targets, [[1, 0, 0], [0.5, 0.5, 0], [0, 0.25, 0.75]])
    # The seam is even: as much of both pictures is seen as the targets say.
    white = np.stack([np.zeros((12, 10, 1)), np.ones((12, 10, 1)), np.ones((12, 10, 1))]).astype(np.float32)
    assert np.asarray(augment.mix_pictures(white, rows))[1].mean() == pytest.approx(0.5)


def test_joining_is_drawn_as_often_as_asked_and_changes_no_other_draw() -> None:
    plain = augment.draw(Augment(), 4000, np.random.default_rng(2))
    joined = augment.draw(Augment(join=0.25), 4000, np.random.default_rng(2))
    np.testing.assert_array_equal(joined[:, : COLUMN["join"]], plain[:, : COLUMN["join"]])
    assert (plain[:, COLUMN["join"]] == augment.NOT_JOINED).all()
    lines = joined[joined[:, COLUMN["join"]] < 1, COLUMN["join"]]
    assert 0.22 < len(lines) / 4000 < 0.28
    assert lines.min() >= 0.35
    assert lines.max() <= 0.65


def test_draws_stay_within_their_strengths() -> None:
    rows = augment.draw(Augment(), 4000, np.random.default_rng(2))
    assert np.isfinite(rows).all()
    assert np.abs(rows[:, COLUMN["zoom"]] - 1).max() <= 0.2
    assert set(np.unique(rows[:, COLUMN["flip"]])) == {-1, 1}
    assert rows[:, COLUMN["mix"]].min() >= 0.5
    erased = rows[:, COLUMN["erase_w"]] * rows[:, COLUMN["erase_h"]]
    assert 0.45 < (erased > 0).mean() < 0.55
    assert erased.max() <= 0.2 + 1e-6
