"""A picked face as the bytes of `device/<id>/crop`: what is said of it, and its pixels, sealed to the labelling key."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from edge_agent.inference.events import ModelAnswer
from edge_agent.sampling.sampler import Pick
from edge_contract.crop import LABELS, SIDE, Consent, Crop, CropHeader, CropName, Guess, seal
from edge_contract.manifest import ModelManifest


@dataclass(frozen=True, slots=True)
class Origin:
    """Where crops come from."""

    device: str
    site: str
    session: int


def fits(manifest: ModelManifest) -> bool:
    """Whether what this model is shown can travel as a crop."""
    return max(manifest.input.width, manifest.input.height) <= SIDE


def sealed(pick: Pick, name: CropName, origin: Origin, consent: Consent, key: X25519PublicKey) -> bytes:
    """The payload.

    Raises:
        MessageError: what is said of it is too large for a crop.
    """
    image = pick.shown.answer.manifest.input
    header = CropHeader(
        device=origin.device,
        site=origin.site,
        session=name.session,
        sequence=name.sequence,
        taken=pick.taken,
        track=pick.shown.track,
        stratum=pick.stratum,
        inclusion=pick.inclusion,
        champion=_guess(pick.shown.answer),
        challenger=None if pick.other is None else _guess(pick.other),
        consent=consent,
        width=image.width,
        height=image.height,
        channels=1 if image.color == "gray" else 3,
    )
    return seal(Crop(header=header, pixels=pick.shown.pixels.tobytes()), key)


def _guess(answer: ModelAnswer) -> Guess:
    """The answer, of a model with very many labels those it holds most probable."""
    pairs = zip(answer.manifest.labels, answer.probabilities, strict=True)
    best = sorted(((label, min(1.0, float(value))) for label, value in pairs), key=lambda pair: -pair[1])[:LABELS]
    return Guess(model=answer.manifest.ref, probabilities=dict(best))
