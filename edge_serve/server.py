"""The process: listens first, is ready when its model answered its known inputs, exchanges it, and ends in order.

SIGHUP looks for a new model at once; SIGTERM and SIGINT take no more requests, answer those that are open, and end.
"""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable
from typing import Final

import cv2
import uvloop

from edge_contract.errors import ExitCode
from edge_serve import cores
from edge_serve.app import App
from edge_serve.http.connection import Waits
from edge_serve.http.listener import Listening
from edge_serve.metrics.counts import ServeCounts
from edge_serve.model.holder import ModelHolder
from edge_serve.model.source import Source
from edge_serve.model.workers import Workers
from edge_serve.settings import Settings
from edge_vision.faces import FaceDetector, open_detector

_MOST_THREADS: Final = 8
"""Unless the settings say otherwise: each costs memory, and more share Python's lock."""

_log = logging.getLogger(__name__)


def run(settings: Settings, source: Source) -> int:
    """Serve until a signal; the exit status.

    Raises:
        EdgewiseError: the first model cannot be served, or the address cannot be had.
    """
    cv2.setNumThreads(1)  # as the device: more threads cost more than they save on pictures of this size
    model = settings.model
    threads = model.threads or min(cores.usable(), _MOST_THREADS)
    detectors = [open_detector(model.face_detector, model.face_detector_sha256) for _ in range(threads)]
    return uvloop.run(_serve(settings, source, detectors))


async def _serve(settings: Settings, source: Source, detectors: list[FaceDetector]) -> int:
    loop, limits = asyncio.get_running_loop(), settings.limits
    ended, again = asyncio.Event(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ended.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    counts = ServeCounts()
    holder = ModelHolder(source, detectors, serving=counts.serving, refused=counts.refused)
    workers = Workers(
        len(detectors),
        beside=max(1, min(len(detectors), cores.usable() - 1)),
        queue=limits.queue,
        queue_bytes=limits.queue_bytes,
        answer_s=limits.answer_s,
        loop=loop,
    )
    app = App(settings, holder, workers, counts, loop)
    listening = Listening(Waits(limits.body_bytes, limits.request_s, limits.idle_s), limits.connections, app)
    app.measured = lambda: (len(listening.connections), listening.refusals)
    host, port = await listening.listen(*settings.address)
    _log.info("listening on %s", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    following = asyncio.create_task(_follow(holder, again, settings.model.look_every_s))
    ending = asyncio.create_task(ended.wait())
    await asyncio.wait({following, ending}, return_when=asyncio.FIRST_COMPLETED)
    app.draining = True
    lost = await listening.drain(limits.drain_s)
    for task in (following, ending):
        task.cancel()
    workers.end()
    holder.end()
    if not ended.is_set():
        await following  # which could not go on
    if lost:
        _log.error("%d requests were not answered within %g s of the signal", lost, limits.drain_s)
        return ExitCode.ERROR
    return ExitCode.OK


async def _follow(
    holder: ModelHolder, again: asyncio.Event, every: float, frozen: Callable[[], None] = gc.freeze
) -> None:
    """Serve the newest model, always.

    Raises:
        EdgewiseError: the first one cannot be served.
    """
    await holder.look()
    gc.collect()
    frozen()  # what is there now stays: no collection walks through it again
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(again.wait(), every)
        again.clear()
        await holder.look()  # which raises nothing while a model answers
