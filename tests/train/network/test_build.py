"""The shipped form answers as the trained one does, and keeps the sizes that are promised."""

import keras
import numpy as np
import pytest

from edge_contract.errors import UsageError
from train.network import build, fold
from train.network.builder import Builder
from train.network.layers import Norm

PICTURES = np.random.default_rng(3).integers(0, 256, (4, 48, 48, 1), dtype=np.uint8)


def disturbed(network: object) -> None:
    """Give every normalisation statistics and gains as if it had been trained."""
    rng = np.random.default_rng(5)
    for layer in network.layers:  # type: ignore[attr-defined]
        if isinstance(layer, Norm):
            size = layer.gamma.shape
            gain, variance = rng.uniform(0.5, 1.5, size), rng.uniform(0.5, 2, size)
            layer.set_weights([gain, rng.normal(0, 0.2, size), rng.normal(0, 0.2, size), variance])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("baseline_cnn", {}),
        ("edge_cnn", {}),
        ("edge_cnn", {"pointwise": False, "widths": [16, 16], "depths": [1, 2]}),
        ("edge_cnn", {"places": True, "widths": [16, 16], "depths": [1, 2]}),
        ("edge_cnn", {"mirror": True, "widths": [16, 16], "depths": [1, 2]}),
        ("residual", {"widths": [16, 24], "depths": [1, 1]}),
        ("resnet18", {"stem": 8, "widths": [8, 16], "depths": [2, 1]}),
        ("mini_xception", {}),
        ("face_mobile", {"upscale": 2, "widths": [8, 16], "halving": [2], "frozen": 1}),
        ("vgg", {"widths": [8, 8], "dense": 16}),
    ],
)
def test_folding_changes_no_answer(name: str, options: dict[str, object]) -> None:
    config = build.network_config(name, options)
    trained, builder = build.build_training(config, (48, 48, 1), 7, votes=10)
    disturbed(trained)
    deployed = fold.deploy(trained, builder, config)
    logits = trained(PICTURES.astype(np.float32), training=False)["labels"]
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    answered = keras.ops.convert_to_numpy(deployed(PICTURES))
    np.testing.assert_allclose(answered, expected, atol=2e-5)


def test_odd_pictures_fold_too() -> None:
    """With an odd side "same" padding stands on both sides, and the 1x1 branch looks at the kernel's middle."""
    config = build.network_config("edge_cnn", {"stem": 4, "widths": [4, 8], "depths": [1, 1]})
    trained, builder = build.build_training(config, (15, 15, 3), 3)
    disturbed(trained)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 15, 15, 3), dtype=np.uint8)
    logits = trained(pixels.astype(np.float32), training=False)["labels"]
    answered = fold.deploy(trained, builder, config)(pixels)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(answered), keras.ops.convert_to_numpy(keras.ops.softmax(logits)), atol=2e-5
    )


def test_with_mirror_images_half_as_much_is_learned_and_the_same_is_shipped() -> None:
    plain, mirrored = (build.network_config("edge_cnn", {"pointwise": False, "mirror": m}) for m in (False, True))
    learned, _ = build.build_training(plain, (48, 48, 1), 7)
    halved, _ = build.build_training(mirrored, (48, 48, 1), 7)
    assert halved.count_params() < 0.51 * learned.count_params()
    shipped = [build.build_deployed(config, (48, 48, 1), 7) for config in (plain, mirrored)]
    assert [weight.shape for weight in shipped[1].weights] == [weight.shape for weight in shipped[0].weights]


def test_a_picture_and_its_mirror_image_get_one_answer() -> None:
    """Exactly so where no layer is strided: a strided one starts at the left."""

    class Unstrided:
        def layers(self, b: Builder, pixels: object) -> object:
            x = b.conv(b.rescale(pixels, 1 / 127.5, -1.0), "stem", 4, mirror="pixels")
            x = b.conv(x, "second", 6, mirror="pairs")
            x = b.conv(x, "third", 6, mirror="pairs", identity=True)
            x = keras.layers.GlobalAveragePooling2D(name="average")(x)
            return b.mean_of_pairs(x, "pairs")

    trained, builder = build.build_training(Unstrided(), (12, 12, 1), 3)
    disturbed(trained)
    deployed = fold.deploy(trained, builder, Unstrided())
    pixels = PICTURES[:, :12, :12]
    answers, of_images = (deployed.predict(given, verbose=0) for given in (pixels, pixels[:, :, ::-1].copy()))
    np.testing.assert_allclose(of_images, answers, atol=1e-5)
    assert np.ptp(answers, axis=0).max() > 1e-3  # and it does look at the picture


def test_frozen_blocks_take_no_part_in_learning() -> None:
    config = build.network_config("face_mobile", {"upscale": 1, "widths": [8, 16], "halving": [], "frozen": 1})
    trained, _ = build.build_training(config, (16, 16, 1), 3)
    learning = {variable.path.split("/")[0] for variable in trained.trainable_variables}
    assert learning == {"b2depth", "b2point", "head"}


def test_the_baseline_is_the_network_this_project_descends_from() -> None:
    model = build.build_deployed(build.network_config("baseline_cnn"), (48, 48, 1), 7)
    assert model.count_params() == 2_345_607
    assert round(build.multiply_accumulates(model) / 1e6) == 77
    assert [tuple(layer.output.shape[1:]) for layer in model.layers if layer.name.startswith("conv")] == [
        (46, 46, 32), (44, 44, 64), (20, 20, 128), (8, 8, 128),
    ]  # fmt: skip


def test_edge_cnn_keeps_its_budget() -> None:
    model = build.build_deployed(build.network_config("edge_cnn"), (48, 48, 1), 7)
    assert build.multiply_accumulates(model) <= 30e6
    biases = sum(layer.bias.shape[0] for layer in model.layers if getattr(layer, "bias", None) is not None)
    # int8 weights, int32 biases, a float scale and an int64 zero point a channel, and the graph itself.
    assert model.count_params() + 3 * biases + 12 * biases + 20_000 <= 1_000_000


def test_the_shipped_form_is_plain_and_takes_pixels() -> None:
    model = build.build_deployed(build.network_config("edge_cnn"), (48, 48, 1), 7)
    kinds = {layer.__class__.__name__ for layer in model.layers}
    assert kinds == {"InputLayer", "Rescaling", "Conv2D", "GlobalAveragePooling2D", "Dense"}
    assert model.inputs[0].dtype == "uint8"
    np.testing.assert_allclose(model.predict(PICTURES, verbose=0).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("edge_cmm", {}, "no network `edge_cmm`: did you mean `edge_cnn`?"),
        ("edge_cnn", {"mirror": True, "norm": False}, "`mirror` needs `norm: true`"),
        ("edge_cnn", {"mirror": True, "stem": 5}, "5 is odd"),
        ("edge_cnn", {"widths": [8, 8]}, "network `edge_cnn` has 2 `widths` and 4 `depths`"),
        ("edge_cnn", {"width": 3}, "network `edge_cnn` has no option `width`: did you mean `widths`?"),
    ],
)
def test_an_unknown_network_or_option_is_refused_with_the_nearest(
    name: str, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build.network_config(name, options)
    assert sentence in str(caught.value)


def test_multiply_accumulates_of_separable_convolutions_count_both_parts() -> None:
    pixels = keras.Input((8, 8, 4))
    model = keras.Model(pixels, keras.layers.SeparableConv2D(6, 3, padding="same", use_bias=False)(pixels))
    assert build.multiply_accumulates(model) == 64 * (9 * 4 + 4 * 6)
