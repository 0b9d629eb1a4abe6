"""What this device runs and holds, read from its state directory while an agent may be running: nothing is changed."""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_agent import settings_file
from edge_agent.models.slots import ActiveModel, read_slot
from edge_agent.mqtt import complaint_file
from edge_agent.sampling import erasure
from edge_agent.sampling.sentence import in_words
from edge_agent.settings import Settings
from edge_agent.system import liveness
from edge_agent.update import machine, patience
from edge_agent.update.store import StateStore
from edge_contract import package
from edge_contract.errors import EdgewiseError


@dataclass(frozen=True, slots=True)
class Status:
    """One device's state, as `edgewise-agent status` prints it."""

    device: str
    state_dir: str
    running: str
    """`yes`, or why no healthy agent is."""
    broker: str
    """What a running agent finds wrong with its broker; empty when all is well, or none runs."""
    model: str
    """Name and release that would run, or why none would."""
    digest: str
    origin: str
    update: str
    target: str
    reason: str
    waits: str
    """What keeps a new model from being run now: a hold, or the update window; empty when nothing does."""
    sampling: str
    """Which faces are kept for labelling, on whose word and until when; or why none is."""
    crops_waiting: int
    """Sealed crops on disk that are not acknowledged."""
    spool_rows: int
    spool_bytes: int
    overrides: dict[str, str | int | float | bool]
    """What `set-config` changed."""


def read(settings: Settings) -> Status:
    """Read the state directory.

    Raises:
        EdgewiseError: a newer agent wrote it.
    """
    state_dir = settings.device.state_dir
    state = _update_state(state_dir)
    try:
        model = model_here(settings)
        named = "none; push a release, or set model.factory" if model is None else _name(model)
    except EdgewiseError as error:
        model, named = None, str(error)
    rows, size = _held(state_dir / "spool.db", "SELECT count(*), coalesce(sum(length(body)), 0) FROM message")
    trouble = liveness.trouble(state_dir, time.time())
    target = state.target.model if state.target is not None else None
    return Status(
        device=settings.device.id,
        state_dir=str(state_dir),
        running=trouble or "yes",
        broker="" if trouble else complaint_file.read(state_dir),
        model=named,
        digest=model.manifest.digest if model is not None else "",
        origin=model.origin if model is not None else "",
        update=state.phase.value,
        target=f"{target.name} {target.release}" if target is not None else "",
        reason=state.reason,
        waits=waits(settings),
        sampling=sampling(settings),
        crops_waiting=crops_waiting(state_dir),
        spool_rows=rows,
        spool_bytes=size,
        overrides=settings_file.read_overrides(state_dir),
    )


def waits(settings: Settings) -> str:
    """What keeps a new model from being run now; empty when nothing does, and why it cannot be told."""
    try:
        return patience.obstacle(settings.device.state_dir, settings.update.window, time.time())
    except EdgewiseError as error:
        return str(error)


def sampling(settings: Settings) -> str:
    """Which faces are kept for labelling, in one sentence."""
    return in_words(settings.sampling, time.time())


def crops_waiting(state_dir: Path) -> int:
    """Sealed crops that are not acknowledged yet."""
    return _held(state_dir / erasure.NAME, "SELECT count(*), coalesce(sum(length(sealed)), 0) FROM crop")[0]


def model_here(settings: Settings) -> ActiveModel | None:
    """The model that an agent started now would run, verified; None when there is none yet.

    Raises:
        EdgewiseError: it is damaged.
    """
    slot = machine.running(_update_state(settings.device.state_dir))
    if slot is not None:
        return read_slot(settings.device.state_dir / "slots" / slot.name)
    if settings.model.factory is None:
        return None
    return model_of(settings.model.factory)


def model_required(settings: Settings) -> ActiveModel:
    """As `model_here`, where nothing can be done without one.

    Raises:
        EdgewiseError: there is none yet, or it is damaged.
    """
    model = model_here(settings)
    if model is None:
        raise EdgewiseError("there is no model here yet", remedy="push a release, or set model.factory")
    return model


def model_of(path: Path) -> ActiveModel:
    """The model of a package file, verified.

    Raises:
        UsageError, TrustError: it cannot be read or is damaged.
    """
    found = package.read_file(path)
    return ActiveModel(found.manifest, found.model, "factory")


def _name(model: ActiveModel) -> str:
    return f"{model.manifest.name} {model.manifest.release}"


def _update_state(state_dir: Path) -> machine.State:
    path = state_dir / "state.db"
    if not path.exists():
        return machine.State()
    try:
        store = StateStore(path, read_only=True)
        try:
            return store.update() or machine.State()
        finally:
            store.close()
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise EdgewiseError(f"{path} cannot be read ({error})", remedy="run this as the agent's user") from error


def _held(path: Path, question: str) -> tuple[int, int]:
    """Rows and bytes of a database that an agent may be using; zeros where there is none."""
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error:
        return 0, 0
    try:
        rows, size = database.execute(question).fetchone()
        return int(rows), int(size)
    except sqlite3.Error:
        return 0, 0
    finally:
        database.close()
