"""What people run today, each in a process of its own: `agent_peers.py baseline|fer CLIP FRAMES`, one JSON line out.

Imports nothing of Edgewise, so that the `fer` package's own environment can run it. CPU time is this process's, all
threads, from the first frame to the last: loading is left out, in the peers' favour.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2


def baseline() -> Callable[[Any], None]:
    """The usual loop: cascade read anew for each frame, Haar 1.3 on the full frame, resize, Keras predict, print.

    The network is the one the project descends from, untrained: its speed does not depend on its weights.
    """
    import keras  # noqa: PLC0415
    from keras import layers  # noqa: PLC0415

    model = keras.Sequential([
        keras.Input((48, 48, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Conv2D(128, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(128, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(1024, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(7, activation="softmax"),
    ])  # fmt: skip

    def work(frame: Any) -> None:
        folder: str = cv2.data.haarcascades  # type: ignore[attr-defined]  # missing in the stubs
        cascade = cv2.CascadeClassifier(folder + "haarcascade_frontalface_default.xml")
        gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        for left, top, width, height in cascade.detectMultiScale(gray, scaleFactor=1.3, minNeighbors=5):
            face = cv2.resize(gray[top : top + height, left : left + width], (48, 48))
            answer = model.predict(face[None, :, :, None], verbose=0)
            print(int(answer.argmax()), file=sys.stderr)

    return work


def fer() -> Callable[[Any], None]:
    """The `fer` package with its defaults."""
    from fer.fer import FER  # noqa: PLC0415

    detector = FER(mtcnn=False)

    def work(frame: Any) -> None:
        for face in detector.detect_emotions(frame):
            print(max(face["emotions"], key=face["emotions"].get), file=sys.stderr)

    return work


def frames(path: str, count: int) -> Iterator[Any]:
    """`count` decoded frames of the clip, from its start again when it ends."""
    capture = cv2.VideoCapture(path)
    for _ in range(count):
        ok, frame = capture.read()
        if not ok:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            ok, frame = capture.read()
        yield frame


def main() -> None:
    """Warm up on ten frames, then measure."""
    peer, clip, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with contextlib.redirect_stdout(sys.stderr):
        work = {"baseline": baseline, "fer": fer}[peer]()
        for frame in frames(clip, 10):
            work(frame)
        seconds = []
        cpu = time.process_time()
        for frame in frames(clip, count):
            began = time.perf_counter()
            work(frame)
            seconds.append(time.perf_counter() - began)
        cpu = time.process_time() - cpu
    print(json.dumps({"cpu_s_per_1000": cpu / count * 1000, "ms": [round(second * 1000, 3) for second in seconds]}))


if __name__ == "__main__":
    main()
