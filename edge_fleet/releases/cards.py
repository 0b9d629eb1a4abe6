"""Release cards: what the listed releases are, retained for those who watch; one that was withdrawn says so.

No device reads them: what a device runs it has from signed metadata.
"""

import contextlib
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from edge_contract import topics
from edge_contract.errors import EdgewiseError, MessageError
from edge_contract.manifest import ModelManifest, Reference
from edge_contract.messages import decode, encode
from edge_contract.release_card import ReleaseCard
from edge_contract.trust import Release
from edge_fleet.link import Arrived

FILTER = f"{topics.PREFIX}/release/+"


def differing(
    releases: Iterable[Release], listed: Iterable[str], held: Mapping[str, bytes], now: float
) -> list[Arrived]:
    """What to publish, so that the broker, which holds `held`, has a card of each release.

    `listed`: digests of all that is listed, releases that cannot be read among them. A card of what is not listed any
    more stays, as withdrawn: devices may run it still. A card that cannot be read is cleared.
    """
    wanted = {topics.release_card(one.manifest.digest): one.manifest for one in releases}
    kept = wanted.keys() | {topics.release_card(digest) for digest in listed}
    found: list[Arrived] = []
    for topic, manifest in wanted.items():
        shown, card = _shown(manifest), _card(held.get(topic))
        if card is None or card.manifest != shown or card.withdrawn:
            found.append(Arrived(topic, encode(ReleaseCard(manifest=shown, time=now))))
    for topic in held.keys() - kept:
        card = _card(held[topic])
        if card is None:
            found.append(Arrived(topic, b""))
        elif not card.withdrawn:
            found.append(Arrived(topic, encode(replace(card, withdrawn=True, time=now))))
    return found


def _card(payload: bytes | None) -> ReleaseCard | None:
    with contextlib.suppress(EdgewiseError):
        return None if payload is None else decode(payload, ReleaseCard)
    return None


def _shown(manifest: ModelManifest) -> ModelManifest:
    """The manifest without goldens; of a model with very many labels without its reference too, which fits no message.

    Raises:
        MessageError: even so it fits none.
    """
    shown = replace(manifest, goldens=())
    try:
        encode(ReleaseCard(manifest=shown, time=2.0**37))
    except MessageError:
        return replace(shown, reference=Reference())
    return shown
