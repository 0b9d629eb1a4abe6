"""Adds up what is before the camera: how good pictures and faces are, as means over a window, and the tracks counted.

What was not seen in a window is not sent: a picture without faces says nothing of their light.
"""

import threading
from collections.abc import Iterator

from edge_agent.inference.events import CountedTrack, FaceLook
from edge_agent.telemetry.track_meter import TrackMeter
from edge_contract.messages import TrackCounts
from edge_contract.metrics import DeviceGauge
from edge_vision.quality import Quality


class Means:
    """Means of some gauges over a window."""

    def __init__(self) -> None:
        self._sums: dict[DeviceGauge, tuple[float, int]] = {}

    def add(self, gauge: DeviceGauge, value: float | None) -> None:
        """One more value; None was not measured."""
        if value is not None:
            total, count = self._sums.get(gauge, (0.0, 0))
            self._sums[gauge] = (total + value, count + 1)

    def __iter__(self) -> Iterator[tuple[DeviceGauge, float]]:
        """Each gauge that has a value, with the mean."""
        return ((gauge, total / count) for gauge, (total, count) in self._sums.items())


class SceneMeter:
    """A `SceneObserver`; any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._means, self._tracks = Means(), TrackMeter()
        self._searched = self._faceless = 0
        self._unchanged: float | None = None

    def seen(self, faces: int | None, unchanged: float | None) -> None:
        """Count the frame, and whether it has a face."""
        with self._lock:
            self._unchanged = unchanged
            if faces is not None:
                self._searched += 1
                self._faceless += faces == 0

    def picture(self, quality: Quality) -> None:
        """Add it to the window's."""
        with self._lock:
            self._means.add(DeviceGauge.BRIGHTNESS, quality.brightness)
            self._means.add(DeviceGauge.CONTRAST, quality.contrast)
            self._means.add(DeviceGauge.SHARPNESS, quality.sharpness)

    def face(self, look: FaceLook) -> None:
        """Add it to the window's."""
        with self._lock:
            self._means.add(DeviceGauge.FACE_BRIGHTNESS, look.quality.brightness)
            self._means.add(DeviceGauge.FACE_CONTRAST, look.quality.contrast)
            self._means.add(DeviceGauge.FACE_SHARPNESS, look.quality.sharpness)
            self._means.add(DeviceGauge.FACE_PIXELS, look.side)
            self._means.add(DeviceGauge.FACE_ROLL_DEGREES, look.roll)

    def counted(self, track: CountedTrack) -> None:
        """Count it."""
        with self._lock:
            self._tracks.count(track)

    def gauges(self) -> dict[DeviceGauge, float]:
        """Of the window that ends now; the next one begins empty.

        A frozen picture stays frozen while the camera is opened anew, and no frame comes.
        """
        with self._lock:
            means, self._means = self._means, Means()
            searched, faceless = self._searched, self._faceless
            self._searched = self._faceless = 0
            unchanged = self._unchanged
        found = dict(means)
        if searched:
            found[DeviceGauge.FACELESS] = faceless / searched
        if unchanged is not None:
            found[DeviceGauge.FROZEN_SECONDS] = unchanged
        return found

    def tracks(self) -> TrackCounts | None:
        """The counts for the next message; see `TrackMeter.read`."""
        with self._lock:
            return self._tracks.read()
