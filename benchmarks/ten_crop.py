"""Ten views of each test picture: what published FER2013 recipes average over, at ten times the cost.

The five crops (four corners and the centre) and their mirror images, each enlarged to the size the network takes.
Devices take one crop; this is for comparing with figures that took ten.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

VIEWS = 10
# Share of the side that a crop keeps: 44 of 48 pixels. Fixed before any score was seen, and inside the zoom that the
# recipes train with; Khaireddin and Chen 2021 take 40 of 48 for a network that was trained on 40x40.
KEPT = 44 / 48


def ten_crops(images: NDArray[np.uint8], kept: float = KEPT) -> NDArray[np.uint8]:
    """Crops [10,N,H,W,C] of pictures [N,H,W,C]: corners from top left, the centre, then all five mirrored."""
    height, width = images.shape[1:3]
    rows, columns = max(1, round(kept * height)), max(1, round(kept * width))
    below, right = height - rows, width - columns
    corners = [(0, 0), (0, right), (below, 0), (below, right), (below // 2, right // 2)]
    crops = np.empty((VIEWS, *images.shape), np.uint8)
    for view, (top, left) in enumerate(corners):
        for index, image in enumerate(images):
            part = image[top : top + rows, left : left + columns]
            enlarged = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
            crops[view, index] = np.asarray(enlarged, np.uint8).reshape(image.shape)
    crops[VIEWS // 2 :] = crops[: VIEWS // 2, :, :, ::-1]
    return crops
