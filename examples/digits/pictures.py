"""The handwritten digits inside scikit-learn as a folder of class folders: `python examples/digits/pictures.py FOLDER`.

Writes FOLDER/train/<digit>/*.png and FOLDER/test/<digit>/*.png (the last fifth: other writers), 8x8 enlarged to 48x48,
and FOLDER-camera/*.png: twenty test digits, each in the middle of a 640x480 frame, named after its true class.
Digits: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits" (UCI), CC BY 4.0.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

SIDE = 48
FULL = 16  # the set's brightest value
TEST_SHARE = 0.2
SHOWN = 20  # digits that also stand in a camera's frame


def main() -> None:
    """Write the folders."""
    if len(sys.argv) != 2:
        sys.exit("name the folder to write: python examples/digits/pictures.py build/digits/pictures")
    root = Path(sys.argv[1])
    camera = root.with_name(f"{root.name}-camera")
    camera.mkdir(parents=True, exist_ok=True)
    images, labels = load_digits(return_X_y=True)
    first_test = round(len(labels) * (1 - TEST_SHARE))
    for index, (pixels, label) in enumerate(zip(images.reshape(-1, 8, 8), labels, strict=True)):
        grey = (pixels * 255 / FULL).astype(np.uint8)
        folder = root / ("train" if index < first_test else "test") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:04d}.png"), cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))
        if first_test <= index < first_test + SHOWN:
            frame = np.zeros((480, 640), np.uint8)
            frame[:, 80:560] = cv2.resize(grey, (480, 480), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(camera / f"{index:04d}-is-{label}.png"), frame)
    told = f"{root}: {first_test} training and {len(labels) - first_test} test pictures; {camera}: {SHOWN} frames"
    sys.stdout.write(f"{told}\n")


if __name__ == "__main__":
    main()
