"""Every counter and gauge that a device's telemetry may carry: its name on the wire, its unit, and what it means.

A member is its name on the wire (`DeviceGauge.FPS == "fps"`), and so a key of `Telemetry.counters` or `.gauges`. The
device counts by member; `/metrics`, the dashboard, Home Assistant, the doctor and docs/protocol.md read unit, series
and help from here. A new one is a line here and the place that counts it. Readers keep names that are not here: a newer
device sends them.
"""

import enum
from collections.abc import Mapping
from typing import Final, Literal, Self

ErrorKind = Literal["source", "frame", "detector", "model", "pipeline"]
"""What failed on the way of a frame without ending the agent: counted in `errors`, and again by its kind."""


class _Metric(enum.StrEnum):
    """A name on the wire, and what is known of it."""

    unit: str
    series: str
    """Its name in `/metrics`; empty: the name is a label there, as for one that is not in the table."""
    help: str

    def __new__(cls, name: str, unit: str, series: str, text: str) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.unit, member.series, member.help = unit, series, text
        return member


class DeviceCounter(_Metric):
    """Counted from 0 since the session began; never falls within it."""

    FRAMES = "frames", "frames", "edgewise_frames_total", "Frames a device took in."
    DROPS = (
        "drops", "frames", "edgewise_frames_dropped_total", "Frames that came while an earlier one was being worked on."
    )  # fmt: skip
    FACES = "faces", "faces", "edgewise_faces_total", "Faces found."
    PREDICTIONS = (
        "predictions", "messages", "edgewise_predictions_total", "Predictions published: changes of a face's consensus."
    )  # fmt: skip
    PREDICTIONS_CAPPED = (
        "predictions_capped", "messages", "edgewise_predictions_capped_total",
        "Predictions held back by the device's rate cap.",
    )  # fmt: skip
    ERRORS = "errors", "errors", "edgewise_errors_total", "Frames or answers that could not be used."
    ERRORS_ACK = "errors_ack", "errors", "", "Acknowledgements that could not be read; not part of `errors`."
    ERRORS_SOURCE = "errors_source", "errors", "", "Connections to the camera that were given up."
    ERRORS_FRAME = "errors_frame", "errors", "", "Frames that could not be decoded."
    ERRORS_DETECTOR = "errors_detector", "errors", "", "Frames on which the face detector failed."
    ERRORS_MODEL = "errors_model", "errors", "", "Faces on which the model failed."
    ERRORS_PIPELINE = "errors_pipeline", "errors", "", "Frames on which anything else failed."
    RECONNECTS = (
        "reconnects", "connections", "edgewise_source_reconnects_total", "How often the camera had to be opened again."
    )  # fmt: skip
    CONNECTS = (
        "connects", "connections", "edgewise_broker_connects_total",
        "How often a device's connection to the broker stood.",
    )  # fmt: skip
    SPOOL_DROPPED = (
        "spool_dropped", "messages", "edgewise_spool_dropped_total", "Messages dropped because they could not be kept."
    )  # fmt: skip
    SPOOL_DROPPED_PREDICTIONS = (
        "spool_dropped_predictions", "messages", "edgewise_spool_dropped_predictions_total",
        "Predictions among the messages dropped.",
    )  # fmt: skip
    CROPS_RANDOM = (
        "crops_random", "crops", "edgewise_crops_random_total",
        "Sealed crops kept for labelling: faces picked by chance.",
    )  # fmt: skip
    CROPS_UNCERTAIN = (
        "crops_uncertain", "crops", "edgewise_crops_uncertain_total",
        "Sealed crops kept for labelling: faces that the model was unsure of.",
    )  # fmt: skip
    CROPS_DISAGREEMENT = (
        "crops_disagreement", "crops", "edgewise_crops_disagreement_total",
        "Sealed crops kept for labelling: faces that two models answered otherwise.",
    )  # fmt: skip
    CROPS_CAPPED = (
        "crops_capped", "crops", "edgewise_crops_capped_total",
        "Faces that would have been kept while nothing was left of a cap: no crop's inclusion speaks for them.",
    )  # fmt: skip
    CROPS_DROPPED = (
        "crops_dropped", "crops", "edgewise_crops_dropped_total",
        "Crops that were kept and not delivered: no room, a disk that refuses, refused where labels are collected, or "
        "consent that ended.",
    )  # fmt: skip


class DeviceGauge(_Metric):
    """Measured at the end of a window; only what this board can measure is sent."""

    FPS = "fps", "fps", "edgewise_frames_per_second", "Frames per second over the last window."
    RSS_BYTES = "rss_bytes", "bytes", "edgewise_resident_memory_bytes", "Memory the agent holds."
    MEMORY_AVAILABLE_BYTES = (
        "memory_available_bytes", "bytes", "edgewise_memory_available_bytes", "Memory the board has left."
    )  # fmt: skip
    CPU_SHARE = (
        "cpu_share", "cores", "edgewise_agent_cpu_ratio", "Processor time the agent takes; 1 is one core."
    )  # fmt: skip
    TEMPERATURE_CELSIUS = "temperature_celsius", "°C", "edgewise_temperature_celsius", "Temperature of the board."
    THROTTLED = (
        "throttled", "bits", "edgewise_throttled",
        "Why the board slows itself down now, 0 while it does not: the firmware's bits 1 under-voltage, "
        "2 frequency capped, 4 throttled, 8 soft temperature limit.",
    )  # fmt: skip
    SPOOL_BYTES = "spool_bytes", "bytes", "edgewise_spool_bytes", "Size of what waits to be acknowledged."
    SPOOL_ROWS = "spool_rows", "messages", "edgewise_spool_messages", "Messages that wait to be acknowledged."
    ACK_LAG_SECONDS = (
        "ack_lag_seconds", "seconds", "edgewise_ack_lag_seconds",
        "Age of the oldest message that waits to be acknowledged; 0 when none waits.",
    )  # fmt: skip
    CERTIFICATE_EXPIRES = (
        "certificate_expires", "unix time", "edgewise_certificate_expires_timestamp_seconds",
        "When the certificate that the device shows to the broker ends.",
    )  # fmt: skip
    TRUST_EXPIRES = (
        "trust_expires", "unix time", "edgewise_trust_expires_timestamp_seconds",
        "When the first of the signed lists that the device holds ends.",
    )  # fmt: skip
    FROZEN_SECONDS = (
        "frozen_seconds", "seconds", "edgewise_picture_frozen_seconds",
        "For how long the camera has delivered the very same picture; noise alone changes that of a live one.",
    )  # fmt: skip
    BRIGHTNESS = (
        "brightness", "ratio", "edgewise_picture_brightness_ratio",
        "Mean brightness of the window's pictures, 0 black to 1 white.",
    )  # fmt: skip
    CONTRAST = (
        "contrast", "ratio", "edgewise_picture_contrast_ratio",
        "Standard deviation of brightness within a picture, mean over the window.",
    )  # fmt: skip
    SHARPNESS = (
        "sharpness", "ratio", "edgewise_picture_sharpness_ratio",
        "Detail of the window's pictures: mean absolute Laplacian over contrast; falls with blur, not with darkness.",
    )  # fmt: skip
    FACELESS = (
        "faceless", "ratio", "edgewise_faceless_frames_ratio", "Share of the window's frames without a face."
    )  # fmt: skip
    FACE_BRIGHTNESS = (
        "face_brightness", "ratio", "edgewise_face_brightness_ratio", "Mean brightness of the faces shown to the model."
    )  # fmt: skip
    FACE_CONTRAST = (
        "face_contrast", "ratio", "edgewise_face_contrast_ratio",
        "Standard deviation of brightness within a face, mean over the window.",
    )  # fmt: skip
    FACE_SHARPNESS = (
        "face_sharpness", "ratio", "edgewise_face_sharpness_ratio",
        "Detail of the faces shown to the model, measured as that of pictures.",
    )  # fmt: skip
    FACE_PIXELS = (
        "face_pixels", "pixels", "edgewise_face_side_pixels",
        "Side of the square cut out for the model, in the camera's pixels, mean over the window.",
    )  # fmt: skip
    FACE_ROLL_DEGREES = (
        "face_roll_degrees", "°", "edgewise_face_roll_degrees",
        "How far faces lean to the side, by their eyes, mean over the window: near 0 where the camera hangs straight.",
    )  # fmt: skip


ERRORS: Final[Mapping[ErrorKind, DeviceCounter]] = {
    "source": DeviceCounter.ERRORS_SOURCE,
    "frame": DeviceCounter.ERRORS_FRAME,
    "detector": DeviceCounter.ERRORS_DETECTOR,
    "model": DeviceCounter.ERRORS_MODEL,
    "pipeline": DeviceCounter.ERRORS_PIPELINE,
}
"""The counter of each kind, beside `DeviceCounter.ERRORS` which counts all of them."""
