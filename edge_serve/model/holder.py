"""Which model answers now. Exchanged at once: a request keeps the one it began with, and a new one begins with the new.

Blocking parts run on a thread of their own, so that a new model is read, checked and loaded while the old one answers.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from edge_contract.command_end import explained
from edge_contract.manifest import ModelManifest
from edge_serve.model.loading import Loaded, load
from edge_serve.model.source import Source
from edge_vision.faces import FaceDetector

_log = logging.getLogger(__name__)


class ModelHolder:
    """See the module; used on the event loop's thread."""

    def __init__(
        self,
        source: Source,
        detectors: Sequence[FaceDetector],
        *,
        serving: Callable[[ModelManifest], None],
        refused: Callable[[], None],
    ) -> None:
        """`serving` is told of each model that answers from now on, `refused` of each that cannot."""
        self.current: Loaded | None = None
        self._source, self._detectors = source, detectors
        self._serving, self._refused = serving, refused
        self._thread = ThreadPoolExecutor(1, "model")
        self._said = ""

    async def look(self) -> None:
        """Serve the newest model from now on, if there is one that is fit; otherwise the one that answers stays.

        Whatever goes wrong with a new one costs only that.

        Raises:
            EdgewiseError: there is none that answers yet, and this one cannot.
        """
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        except Exception as error:
            self._refused()
            if self.current is None:
                raise
            known = explained(error)
            text = str(known or f"a new model could not be looked at ({error!r}).")
            if text != self._said:  # once, and not every two seconds
                _log.error("%s %s goes on answering.", text, _name(self.current.manifest), exc_info=known is None)
            self._said = text
            return
        self._said = ""
        if loaded is not None:
            self.current = loaded
            self._serving(loaded.manifest)
            _log.info("%s answers, by %s", _name(loaded.manifest), loaded.runtime)

    def end(self) -> None:
        """Load nothing further."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> Loaded | None:
        package = self._source.newest()
        if package is None:
            return None
        current = self.current
        if current is not None and current.manifest == package.manifest:
            return None
        return load(package, self._detectors)


def _name(manifest: ModelManifest) -> str:
    return f"{manifest.name} {manifest.release}"
