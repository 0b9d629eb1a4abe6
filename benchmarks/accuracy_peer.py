"""What the `fer` package answers: `accuracy_peer.py quantized|float PICTURES.npz ANSWERS.npz`, in its own environment.

Imports nothing of Edgewise, so that a Python with `fer` can run it. FER2013's pictures are faces already, so the
package's face detector is left out, in its favour; resizing and normalisation are those of its `detect_emotions`.
PICTURES holds `images` uint8 [N,H,W,1]; ANSWERS gets `probabilities` [N,7] and `labels` [7].
"""

import sys

import cv2
import numpy as np
from fer import fer

SIDE = 64  # of the picture its network takes
BATCH = 256


def main() -> None:
    """Answer for every picture."""
    form, pictures, answers = sys.argv[1:]
    with np.load(pictures, allow_pickle=False) as archive:
        images = archive["images"][..., 0]
    detector = fer.FER(mtcnn=False, use_tflite=form == "quantized")
    rows = []
    for start in range(0, len(images), BATCH):
        faces = np.stack([cv2.resize(image, (SIDE, SIDE)) for image in images[start : start + BATCH]])
        # To -1..1, as in `FER.detect_emotions`.
        rows.append(np.asarray(detector._classify_emotions((faces.astype("float32") / 255.0 - 0.5) * 2.0)))
        print(f"\r{form}: {min(start + BATCH, len(images))}/{len(images)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    names = fer.FER._get_labels()
    labels = np.array([names[index] for index in range(len(names))])
    np.savez(answers, probabilities=np.concatenate(rows).astype(np.float32), labels=labels)


if __name__ == "__main__":
    main()
