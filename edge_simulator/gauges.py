"""What a simulated device measures of its pictures and its board: drawn, the same for the same seed.

A site has a light, a distance and a warmth of its own; the light follows the hour of the device's clock. A real device
measures all of this (`edge_agent`), and leaves out what it cannot.
"""

import math
import random
from typing import Final

from edge_contract.metrics import DeviceGauge
from edge_simulator.scenes import Effect

_DAY_S: Final = 86400.0
_BRIGHTEST_H: Final = 13.0
_FPS: Final = (("Raspberry Pi 5", 25.0), ("Raspberry Pi Zero", 3.0))
_USUAL_FPS: Final = 12.0
_DWELL_S: Final = 3.0
"""For how long a face is before the camera."""
_EXPIRING_S: Final = 3 * _DAY_S
_HOT: Final = 12.0  # bits: throttled, soft temperature limit


def fps(board: str) -> float:
    """Frames a second that a board takes in."""
    return next((rate for name, rate in _FPS if board.startswith(name)), _USUAL_FPS)


class DrawnGauges:
    """One device's, through all its starts."""

    def __init__(self, chance: random.Random, board: str, now: float) -> None:
        """`chance` is this object's alone. `now`: seconds since 1970, when the device is first there."""
        self._chance = chance
        self._fps = fps(board)
        self._light = chance.uniform(0.38, 0.55)
        self._contrast = chance.uniform(0.18, 0.26)
        self._sharpness = chance.uniform(0.25, 0.40)
        self._face_pixels = chance.uniform(70.0, 180.0)
        self._roll = chance.gauss(0.0, 2.0)
        self._celsius = chance.uniform(44.0, 58.0)
        self._memory = chance.uniform(0.5e9, 3e9)
        self._resident = chance.uniform(75e6, 95e6)
        self._cpu = chance.uniform(0.25, 0.6)
        self._certificate = now + chance.uniform(60, 365) * _DAY_S
        self._trust = now + chance.uniform(10, 30) * _DAY_S
        self._first = now
        self._frozen: tuple[float, dict[DeviceGauge, float]] | None = None  # since when, and the picture
        self._lagging_since: float | None = None

    def read(self, now: float, effect: Effect, *, faces_per_s: float, faces: int) -> dict[DeviceGauge, float]:
        """At the end of a window at `now`, in which `faces` were shown to the model.

        `faces_per_s`: that usually pass the camera.
        """
        gauges = self._picture(now, effect)
        passing = faces_per_s * effect.faces
        gauges[DeviceGauge.FACELESS] = self._near(math.exp(-passing * _DWELL_S), 0.02) if passing else 1.0
        if faces:
            gauges |= self._faces(effect, gauges, faces)
        gauges |= self._board(now, effect)
        return {name: round(value, 4) for name, value in gauges.items()}

    def _picture(self, now: float, effect: Effect) -> dict[DeviceGauge, float]:
        if not effect.frozen:
            self._frozen = None
            return self._seen(now, effect)
        if self._frozen is None:
            self._frozen = now, self._seen(now, effect)
        since, picture = self._frozen
        return {**picture, DeviceGauge.FROZEN_SECONDS: now - since}

    def _seen(self, now: float, effect: Effect) -> dict[DeviceGauge, float]:
        hour = now % _DAY_S / 3600
        daylight = 0.06 * math.cos((hour - _BRIGHTEST_H) / 24 * 2 * math.pi)
        light = (self._light + daylight) * effect.brightness
        return {
            DeviceGauge.BRIGHTNESS: self._near(1 - (1 - light) * effect.glare, 0.01),
            DeviceGauge.CONTRAST: self._near(self._contrast * effect.contrast, 0.008),
            DeviceGauge.SHARPNESS: self._near(self._sharpness * effect.sharpness, 0.01),
            DeviceGauge.FROZEN_SECONDS: 0.0,
        }

    def _faces(self, effect: Effect, picture: dict[DeviceGauge, float], faces: int) -> dict[DeviceGauge, float]:
        roll = self._roll + effect.roll_degrees
        return {
            DeviceGauge.FACE_BRIGHTNESS: self._near(picture[DeviceGauge.BRIGHTNESS], 0.02),
            DeviceGauge.FACE_CONTRAST: self._near(picture[DeviceGauge.CONTRAST] * 0.9, 0.01),
            DeviceGauge.FACE_SHARPNESS: self._near(picture[DeviceGauge.SHARPNESS] * 1.1, 0.015),
            DeviceGauge.FACE_PIXELS: max(24.0, self._face_pixels * effect.face_pixels * self._chance.uniform(0.9, 1.1)),
            DeviceGauge.FACE_ROLL_DEGREES: roll + self._chance.gauss(0.0, 6.0 / math.sqrt(faces)),
        }

    def _board(self, now: float, effect: Effect) -> dict[DeviceGauge, float]:
        self._lagging_since = (self._lagging_since or now) if effect.lagging else None
        expires = self._first + _EXPIRING_S if effect.expiring else max(self._certificate, self._trust)
        return {
            DeviceGauge.TEMPERATURE_CELSIUS: (84.0 if effect.hot else self._celsius) + self._chance.gauss(0.0, 0.7),
            DeviceGauge.THROTTLED: _HOT if effect.hot else 0.0,
            DeviceGauge.RSS_BYTES: float(round(self._resident * self._chance.uniform(0.98, 1.02))),
            DeviceGauge.MEMORY_AVAILABLE_BYTES: float(round(self._memory * self._chance.uniform(0.97, 1.03))),
            DeviceGauge.CPU_SHARE: self._cpu * self._chance.uniform(0.9, 1.1),
            DeviceGauge.ACK_LAG_SECONDS: 0.0 if self._lagging_since is None else now - self._lagging_since,
            DeviceGauge.CERTIFICATE_EXPIRES: float(round(min(self._certificate, expires))),
            DeviceGauge.TRUST_EXPIRES: float(round(min(self._trust, expires))),
        }

    def _near(self, value: float, spread: float) -> float:
        """A share near this one."""
        return min(1.0, max(0.0, value + self._chance.gauss(0.0, spread * min(1.0, 2 * value))))
