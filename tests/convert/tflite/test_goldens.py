"""Golden inputs of any size that is trained on fit into a manifest."""

import msgspec
import numpy as np
import pytest

from convert.tflite import goldens
from edge_contract import limits
from edge_contract.manifest import ImageInput


@pytest.mark.parametrize(
    ("height", "width", "color"),
    [(48, 48, "gray"), (63, 63, "rgb"), (109, 109, "gray"), (96, 160, "rgb"), (224, 224, "rgb"), (640, 480, "rgb")],
)
def test_the_goldens_of_any_input_leave_room_in_the_manifest(height: int, width: int, color: str) -> None:
    image = msgspec.convert({"height": height, "width": width, "color": color}, ImageInput)
    drawn = goldens.candidates(image)
    assert drawn.shape[1:] == image.shape[1:]
    chosen = np.concatenate([drawn[: goldens.SMOOTH], drawn[-goldens.NOISE :]])
    packed = goldens.pack(chosen, np.zeros((len(chosen), 7)))
    assert len(msgspec.json.encode(packed)) < 0.9 * limits.MANIFEST_BYTES
    assert {int(value) for value in (drawn.min(), drawn.max())} == {0, 255}
