"""A rescaling folded into the first layer changes no answer."""

import numpy as np
import pytest

from convert.tflite import conversion
from convert.tflite.centering import plan

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0), (2.0, -100.3)])
def test_folding_the_rescaling_keeps_what_the_network_computes(scale: float, offset: float) -> None:
    import keras  # noqa: PLC0415

    pixels = keras.Input((8, 8, 1), dtype="uint8")
    x = keras.layers.Rescaling(scale, offset)(pixels)
    x = keras.layers.Conv2D(4, 3, padding="valid", bias_initializer="random_normal", name="first")(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(x))
    centering = plan(model)
    assert centering is not None
    folded = conversion.prepared(model, centering, "float32")
    pictures = np.random.default_rng(2).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    for picture in pictures:
        seen = picture[np.newaxis].astype(np.float32) - centering.zero_point
        assert np.asarray(folded(seen)) == pytest.approx(np.asarray(model(picture[np.newaxis])), abs=1e-4)
