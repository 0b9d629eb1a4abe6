"""The parts of sampling, put together for one run of the agent: made only where a consent is stated.

Not here: what is done where none is; then the agent erases what an earlier run left and loads nothing of this.
"""

import logging
import random
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_agent.inference.events import CropObserver
from edge_agent.mqtt.link import Link
from edge_agent.sampling import erasure
from edge_agent.sampling.box import Box
from edge_agent.sampling.budget import DAY_S, Caps, Spent
from edge_agent.sampling.consent import Permission, mark, record
from edge_agent.sampling.observer import FaceSampler
from edge_agent.sampling.sampler import Rules, State
from edge_agent.sampling.sealing import Origin
from edge_agent.sampling.sender import CropSender
from edge_agent.sampling.sentence import in_words
from edge_agent.sampling.settings import SamplingSettings
from edge_contract.crop import key_id, read_public_key
from edge_contract.metrics import DeviceCounter

_log = logging.getLogger(__name__)


class Collection:
    """Sampling while the agent runs."""

    def __init__(self, permission: Permission, sampler: FaceSampler, sender: CropSender) -> None:
        self._permission, self._sampler, self._sender = permission, sampler, sender

    @property
    def observer(self) -> CropObserver:
        """For the pipeline and the model in shadow."""
        return self._sampler

    @property
    def trouble(self) -> str:
        """Why crops are not kept or sent although they may be; empty while they are."""
        return self._sender.trouble

    def start(self) -> None:
        """Begin to send."""
        self._sender.start()

    def connected(self) -> None:
        """The broker is back."""
        self._sender.connected()

    def reloaded(self, read: SamplingSettings | None) -> None:
        """The settings were read again and narrowed; None: they could not be read."""
        self._permission.reloaded(None if read is None else read.consent)

    def counters(self) -> Mapping[DeviceCounter, int]:
        """Crops kept, capped and lost since the start."""
        return {**self._sender.counters(), DeviceCounter.CROPS_CAPPED: self._sampler.capped}

    def stop(self, timeout: float) -> None:
        """Store what was handed over, and end."""
        self._sender.stop(timeout)


def open_collection(
    settings: SamplingSettings,
    state_dir: Path,
    link: Link,
    origin: Origin,
    *,
    now: Callable[[], float],
    clock: Callable[[], float],
) -> Collection | None:
    """As the settings have it, which state a consent; None where it is over: what was kept under it is deleted then.

    `now`: trusted time; `clock`: seconds that only grow. `link`: not started yet.

    Raises:
        UsageError: the labelling key cannot be read.
    """
    permission = Permission(record(settings.consent), now)
    if permission.over:
        _log.warning("sampling is %s", in_words(settings, now()))
        erasure.erase_or_say(state_dir)
        return None
    if settings.key is None:
        raise AssertionError("a consent without a key is refused by the settings")
    key = read_public_key(settings.key)
    caps = Caps(settings.per_minute, settings.per_hour, settings.per_day, settings.mb << 20)
    try:
        box = Box(state_dir, caps.bytes, consent=mark(permission.consent), key=key_id(key))
        spent = _spent(box, now(), clock())
        sender = CropSender(box, state_dir, link, key, origin, permission, clock)
    except (sqlite3.Error, OSError) as error:
        _log.error("no face is sampled for labelling: crops.db cannot be opened (%s); check the disk", error)
        return None
    rules = Rules(
        share=settings.share,
        uncertain_below=settings.uncertain_below,
        uncertain_share=settings.uncertain_share,
        disagreement_share=settings.disagreement_share,
        caps=caps,
    )
    sampler = FaceSampler(
        rules,
        State(spent=spent),
        permission,
        keep=sender.send,
        held=lambda: sender.held,
        draw=random.SystemRandom().random,
        clock=clock,
    )
    _log.warning("sampling: %s", in_words(settings, now()))
    return Collection(permission, sampler, sender)


def _spent(box: Box, now: float, clock: float) -> Spent:
    """What earlier runs kept in the last day, by the clock of this one: a restart gives back nothing of a cap."""
    kept = [(clock - min(DAY_S, now - at), stratum != "random") for at, stratum in box.kept_since(now)]
    return Spent(tuple(at for at, _ in kept), tuple(at for at, chosen in kept if chosen))
