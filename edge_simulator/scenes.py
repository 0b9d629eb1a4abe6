"""What goes wrong before a camera, so that alerts and drift can be rehearsed: what each scene does to pictures, faces
and board. Pure; the figures are drawn to be told apart from a sound camera's, and measured nowhere.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edge_contract.errors import UsageError
from edge_contract.visible import visible
from edge_fleet.rollout.plans.words import duration, share


class Scene(enum.StrEnum):
    """What is wrong at one device."""

    DARK = "dark"
    BRIGHT = "bright"
    BLURRED = "blurred"
    FAR = "far"
    TURNED = "turned"
    COVERED = "covered"
    FROZEN = "frozen"
    NEUTRAL = "neutral"
    HOT = "hot"
    EXPIRING = "expiring"
    LAGGING = "lagging"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a scene changes; factors of 1 and additions of 0 change nothing."""

    brightness: float = 1.0
    glare: float = 1.0
    """Factor of what is lacking to white."""
    contrast: float = 1.0
    sharpness: float = 1.0
    face_pixels: float = 1.0
    roll_degrees: float = 0.0
    faces: float = 1.0
    """Share of the faces that pass and are found."""
    harder: float = 0.0
    """Added to each face's difficulty: models are wrong more often, and less sure."""
    neutral: float = 0.0
    """Share of the faces that show nothing: people changed, pictures did not."""
    frozen: bool = False
    hot: bool = False
    expiring: bool = False
    lagging: bool = False


SOUND: Final = Effect()
EFFECTS: Final[Mapping[Scene, Effect]] = {
    Scene.DARK: Effect(brightness=0.25, contrast=0.35, harder=0.15),
    Scene.BRIGHT: Effect(glare=0.15, contrast=0.4, harder=0.10),
    Scene.BLURRED: Effect(sharpness=0.3, contrast=0.9, harder=0.20),
    Scene.FAR: Effect(face_pixels=0.3, harder=0.12),
    Scene.TURNED: Effect(roll_degrees=35.0, harder=0.25),
    Scene.COVERED: Effect(brightness=0.05, contrast=0.1, sharpness=0.3, faces=0.0),
    Scene.FROZEN: Effect(faces=0.0, frozen=True),
    Scene.NEUTRAL: Effect(neutral=0.5),
    Scene.HOT: Effect(hot=True),
    Scene.EXPIRING: Effect(expiring=True),
    Scene.LAGGING: Effect(lagging=True),
}


@dataclass(frozen=True, slots=True)
class Begins:
    """A scene at one device, and how many seconds after the device was first there it begins."""

    scene: Scene
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """A scene at some devices of a fleet."""

    scene: Scene
    share: float
    after_s: float = 0.0


def effect_of(scenes: Iterable[Begins], age_s: float) -> Effect:
    """What the scenes that have begun do together, at a device that was first there `age_s` seconds ago."""
    together = SOUND
    for each in scenes:
        if age_s >= each.after_s:
            together = _both(together, EFFECTS[each.scene])
    return together


def parse_scene(text: str) -> Spread:
    """Read `dark:5%`, or `dark:5%:10m` for one that begins after ten minutes.

    Raises:
        UsageError: it is neither.
    """
    name, *rest = text.split(":")
    if name not in set(Scene) or not 1 <= len(rest) <= 2:
        raise UsageError(
            f"{visible(text)!r} is no scene",
            remedy=f"write SCENE:SHARE or SCENE:SHARE:AFTER, such as dark:5%:10m; scenes are {', '.join(Scene)}",
        )
    return Spread(Scene(name), share(_number(rest[0]), name), duration(rest[1], name) if len(rest) > 1 else 0.0)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _both(one: Effect, other: Effect) -> Effect:
    return Effect(
        brightness=one.brightness * other.brightness,
        glare=one.glare * other.glare,
        contrast=one.contrast * other.contrast,
        sharpness=one.sharpness * other.sharpness,
        face_pixels=one.face_pixels * other.face_pixels,
        roll_degrees=one.roll_degrees + other.roll_degrees,
        faces=one.faces * other.faces,
        harder=one.harder + other.harder,
        neutral=max(one.neutral, other.neutral),
        frozen=one.frozen or other.frozen,
        hot=one.hot or other.hot,
        expiring=one.expiring or other.expiring,
        lagging=one.lagging or other.lagging,
    )
