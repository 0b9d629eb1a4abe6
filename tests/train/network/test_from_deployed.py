"""A shipped network, unfolded, answers as before and can learn again."""

from pathlib import Path

import keras
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.network.test_build import disturbed
from train.network import build, fold, from_deployed
from train.network.builder import Builder

PICTURES = np.random.default_rng(3).integers(0, 256, (32, 24, 24, 1), dtype=np.uint8)


def built(name: str, options: dict[str, object], classes: int = 4) -> tuple[object, Builder, object]:
    config = build.network_config(name, options)
    network, builder = build.build_training(config, (24, 24, 1), classes)
    return network, builder, config


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("baseline_cnn", {}),
        ("edge_cnn", {"widths": [16, 16], "depths": [1, 2]}),
        ("edge_cnn", {"pointwise": False, "widths": [16, 16], "depths": [1, 2]}),
        ("edge_cnn", {"places": True, "widths": [16, 16], "depths": [1, 2]}),
        ("edge_cnn", {"mirror": True, "widths": [16, 16], "depths": [1, 2]}),
        ("residual", {"widths": [16, 24], "depths": [1, 1]}),
        ("mini_xception", {"stem": 4, "widths": [8, 8]}),
    ],
)
def test_an_unfolded_network_answers_as_the_shipped_one(name: str, options: dict[str, object]) -> None:
    trained, builder, config = built(name, options)
    disturbed(trained)
    shipped = fold.deploy(trained, builder, config)
    fresh, fresh_builder, _ = built(name, options)
    from_deployed.unfold(shipped, fresh, fresh_builder, PICTURES)
    refolded = fold.deploy(fresh, fresh_builder, config)
    np.testing.assert_allclose(refolded.predict(PICTURES, verbose=0), shipped.predict(PICTURES, verbose=0), atol=2e-4)


def test_a_network_without_mirror_images_is_not_cut_in_half() -> None:
    sizes = {"widths": [16, 16], "depths": [1, 2]}
    trained, builder, config = built("edge_cnn", sizes)
    shipped = fold.deploy(trained, builder, config)
    fresh, fresh_builder, _ = built("edge_cnn", {**sizes, "mirror": True})
    with pytest.raises(UsageError, match="without mirror images"):
        from_deployed.unfold(shipped, fresh, fresh_builder, PICTURES)
    mirrored = fold.deploy(fresh, fresh_builder, build.network_config("edge_cnn", {**sizes, "mirror": True}))
    kernel, bias = mirrored.get_layer("s2b1").get_weights()
    mirrored.get_layer("s2b1").set_weights([kernel, bias + np.arange(len(bias), dtype=np.float32)])
    with pytest.raises(UsageError, match="without mirror images"):
        from_deployed.unfold(mirrored, fresh, fresh_builder, PICTURES)


def test_a_head_that_sees_places_begins_with_the_averages_answers() -> None:
    averaging = {"widths": [16, 16], "depths": [1, 2]}
    trained, builder, config = built("edge_cnn", averaging)
    disturbed(trained)
    shipped = fold.deploy(trained, builder, config)
    fresh, fresh_builder, fresh_config = built("edge_cnn", {**averaging, "places": True})
    from_deployed.unfold(shipped, fresh, fresh_builder, PICTURES)
    seeing_places = fold.deploy(fresh, fresh_builder, fresh_config)
    assert seeing_places.get_layer("head").kernel.shape == (6 * 6 * 16, 4)
    np.testing.assert_allclose(
        seeing_places.predict(PICTURES, verbose=0), shipped.predict(PICTURES, verbose=0), atol=2e-4
    )


def test_a_network_without_normalisation_goes_on_from_one_that_had_it() -> None:
    sizes = {"widths": [16, 16], "depths": [1, 2], "dropout": 0.0}
    trained, builder, config = built("edge_cnn", sizes)
    disturbed(trained)
    shipped = fold.deploy(trained, builder, config)
    plain, plain_builder, plain_config = built("edge_cnn", {**sizes, "norm": False})
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)]
    from_deployed.unfold(shipped, plain, plain_builder, PICTURES)
    logits = plain(PICTURES.astype(np.float32), training=True)["labels"]
    answers = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(answers, shipped.predict(PICTURES, verbose=0), atol=2e-4)
    refolded = fold.deploy(plain, plain_builder, plain_config)
    for folded, weight in zip(refolded.get_weights(), shipped.get_weights(), strict=True):
        np.testing.assert_array_equal(folded, weight)


def test_while_training_it_begins_near_the_shipped_answers_and_its_1x1_branches_learn() -> None:
    trained, builder, config = built("edge_cnn", {"widths": [16, 16], "depths": [1, 2], "dropout": 0.0})
    disturbed(trained)
    shipped = fold.deploy(trained, builder, config)
    fresh, fresh_builder, _ = built("edge_cnn", {"widths": [16, 16], "depths": [1, 2], "dropout": 0.0})
    from_deployed.unfold(shipped, fresh, fresh_builder, PICTURES)
    # The batch is what the statistics were measured on, so normalising by the batch changes next to nothing.
    logits = fresh(PICTURES.astype(np.float32), training=True)["labels"]
    answers = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(answers, shipped.predict(PICTURES, verbose=0), atol=0.02)

    fresh.compile(optimizer="sgd", loss={"labels": keras.losses.CategoricalCrossentropy(from_logits=True)})
    fresh.train_on_batch(PICTURES.astype(np.float32), {"labels": np.eye(4, dtype=np.float32)[np.arange(32) % 4]})
    gamma, *_ = fresh.get_layer("s1b0_point_norm").get_weights()
    assert np.abs(gamma).max() > 0


def test_other_classes_keep_the_features_and_begin_a_new_head() -> None:
    trained, builder, config = built("edge_cnn", {"widths": [16, 16], "depths": [1, 1]}, classes=4)
    shipped = fold.deploy(trained, builder, config)
    fresh, fresh_builder, _ = built("edge_cnn", {"widths": [16, 16], "depths": [1, 1]}, classes=3)
    from_deployed.unfold(shipped, fresh, fresh_builder, PICTURES)
    assert fresh.get_layer("head").units == 3
    kernel, _ = shipped.get_layer("stem").get_weights()
    np.testing.assert_allclose(fresh.get_layer("stem_conv").get_weights()[0], kernel, atol=1e-6)


def test_another_network_is_refused_by_the_layer_that_does_not_fit() -> None:
    trained, builder, config = built("edge_cnn", {"widths": [16, 16], "depths": [1, 1]})
    shipped = fold.deploy(trained, builder, config)
    other, other_builder, _ = built("edge_cnn", {"widths": [16, 32], "depths": [1, 1]})
    with pytest.raises(UsageError, match="layer s2b0 does not fit"):
        from_deployed.unfold(shipped, other, other_builder, PICTURES)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"no network")
    with pytest.raises(UsageError, match=r"check train\.start_from"):
        from_deployed.load_shipped(tmp_path / "model.keras")
