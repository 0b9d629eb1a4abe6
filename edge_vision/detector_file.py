"""YuNet's file, the better face detector: its home, size and digest. Settings name it without loading OpenCV."""

from typing import Final

HOME: Final = (
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
)
"""face_detection_yunet_2023mar.onnx of opencv/opencv_zoo, MIT."""

YUNET_BYTES: Final = 232_589
YUNET_SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
