"""From a request to its answer: which path is whose, what is answered here and what on a thread, and what is counted.

A small request is read here and answered with those that came at once (`together`); photographs, large bodies, and
tensors that would hold up the others, go to the threads (docs/adr/0023).
"""

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

from edge_contract.manifest import ModelManifest
from edge_contract.version import version
from edge_serve.answering import Answered, answered, failed
from edge_serve.http.message import RefusedError, Request, Response, answer, busy, refusal, shown
from edge_serve.metrics import exposition
from edge_serve.metrics.counts import ServeCounts
from edge_serve.model.holder import ModelHolder
from edge_serve.model.loading import Loaded
from edge_serve.model.workers import Workers
from edge_serve.protocols import v2
from edge_serve.protocols.handlers import Handler, Handlers
from edge_serve.settings import Settings
from edge_serve.together import HERE_S, Together

HERE_BYTES: Final = 256 * 1024
"""Of a body that the event loop reads; a longer one is read by a thread."""
_OPENAPI: Final = Path(__file__).parent / "openapi.json"


class Post(NamedTuple):
    """A route that has something worked out."""

    name: str
    handler: Handler


class App:
    """See the module; called on the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        holder: ModelHolder,
        workers: Workers,
        counts: ServeCounts,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings, self._holder, self._workers, self._counts, self._loop = settings, holder, workers, counts, loop
        self.draining = False
        self.measured: Callable[[], tuple[int, dict[int, int]]] = lambda: (0, {})
        """Connections now, and refusals by status."""
        self._together = Together(workers, loop)
        handlers = Handlers(settings.limits)
        self._infer = Post("/v2/models/{model}/infer", handlers.infer)
        invoked = handlers.invoked
        self._posts = {
            b"/invocations": Post("/invocations", invoked),
            b"/score": Post("/score", invoked),
            b"/v1/photographs": Post("/v1/photographs", handlers.photograph),
            **{route.encode(): Post("predict", invoked) for route in settings.routes.predict},
        }
        openapi = Response(HTTPStatus.OK, _OPENAPI.read_bytes())
        self._gets: dict[bytes, tuple[str, Callable[[], Response]]] = {
            b"/": ("/", lambda: answer({"live": True})),
            b"/v2": ("/v2", _server),
            b"/v2/health/live": ("/v2/health/live", lambda: answer({"live": True})),
            b"/v2/health/ready": ("/v2/health/ready", self._ready),
            b"/ping": ("/ping", self._ready),
            b"/metrics": ("/metrics", self._metrics),
            b"/openapi.json": ("/openapi.json", lambda: openapi),
            **{route.encode(): ("health", self._ready) for route in settings.routes.health},
        }

    def __call__(self, request: Request, later: Callable[[Response], None]) -> Response | None:
        """The answer, or None where `later` is called with it after this returned; never an error."""
        began = time.perf_counter()
        name = "other"
        try:
            if (post := self._posts.get(request.path)) is None and (found := self._gets.get(request.path)) is not None:
                name, get = found
                _refuse_other(request.method, (b"GET", b"HEAD"))
                response = get()
            elif post is None:
                asked = _model_path(request.path)
                if asked.verb != b"infer":
                    name = "/v2/models/{model}"
                    _refuse_other(request.method, (b"GET", b"HEAD"))
                    response = self._about_model(asked)
                else:
                    name = self._infer.name
                    _refuse_other(request.method, (b"POST",))
                    return self._compute(self._infer, request, self._named(asked), began, later)
            else:
                name = post.name
                _refuse_other(request.method, (b"POST",))
                return self._compute(post, request, self._loaded(), began, later)
        except RefusedError as error:
            response = refusal(error)
        self._counts.request(name, response.status)
        return response

    def _compute(
        self, post: Post, request: Request, loaded: Loaded, began: float, later: Callable[[Response], None]
    ) -> Response | None:
        if request.headers.get(b"content-encoding", b"identity") != b"identity":
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a compressed body is not read", remedy="send it without compression"
            )

        def end(outcome: Answered | Exception) -> None:
            ended = failed(outcome) if isinstance(outcome, Exception) else outcome
            later(self._done(post, loaded, began, ended))

        if len(request.body) > HERE_BYTES:
            self._workers.submit(
                lambda thread: answered(post.handler(request, loaded.manifest), loaded.engine(thread)),
                len(request.body),
                end,
            )
            return None
        try:
            asked = post.handler(request, loaded.manifest)
        except Exception as error:  # noqa: BLE001  # one request's end is not the server's
            return self._done(post, loaded, began, failed(error))
        if asked.photographs or loaded.seconds * len(asked.tensors) > HERE_S:
            self._workers.submit(lambda thread: answered(asked, loaded.engine(thread)), len(request.body), end)
        else:
            self._together.add(lambda thread: answered(asked, loaded.engine(thread)), end)
        return None

    def _done(self, post: Post, loaded: Loaded, began: float, end: Answered) -> Response:
        counts = self._counts
        counts.request(post.name, end.response.status)
        if end.failed:
            counts.error(end.failed)
        elif end.observed is not None:
            counts.observed(loaded.manifest, end.observed, time.perf_counter() - began)
        return end.response

    def _loaded(self) -> Loaded:
        loaded = self._holder.current
        if loaded is None:
            raise busy("the model is being loaded")
        return loaded

    def _named(self, asked: "_ModelPath") -> Loaded:
        """The model that a path names.

        Raises:
            RefusedError: 404, another one is served.
        """
        loaded = self._loaded()
        manifest = loaded.manifest
        if asked.model != manifest.name.encode() or asked.version not in {None, b"%d" % manifest.release}:
            version_ = "" if asked.version is None else f" in version {shown(asked.version)}"
            raise RefusedError(
                HTTPStatus.NOT_FOUND,
                f"no model {shown(asked.model)}{version_} is served",
                remedy=f"ask for {manifest.name}, version {manifest.release}",
            )
        return loaded

    def _about_model(self, asked: "_ModelPath") -> Response:
        manifest: ModelManifest = self._named(asked).manifest
        if asked.verb == b"ready":
            return answer({"name": manifest.name, "ready": True})
        return answer(v2.metadata(manifest))

    def _ready(self) -> Response:
        if self.draining:
            raise busy("this server is ending")
        self._loaded()
        return answer({"ready": True})

    def _metrics(self) -> Response:
        connections, refusals = self.measured()
        now = exposition.Now(
            self._holder.current is not None and not self.draining, connections, self._workers.waiting, refusals
        )
        text = exposition.write(self._counts, now, self._settings.site, self._settings.name)
        return Response(HTTPStatus.OK, text, exposition.CONTENT_TYPE)


class _ModelPath(NamedTuple):
    model: bytes
    version: bytes | None
    verb: bytes
    """`infer`, `ready`, or empty for the metadata."""


@lru_cache(maxsize=64)
def _model_path(path: bytes) -> _ModelPath:
    """`/v2/models/M[/versions/V][/ready|/infer]`.

    Raises:
        RefusedError: 404, it is none.
    """
    match path.split(b"/")[1:]:
        case [b"v2", b"models", model]:
            return _ModelPath(model, None, b"")
        case [b"v2", b"models", model, b"versions", version_]:
            return _ModelPath(model, version_, b"")
        case [b"v2", b"models", model, (b"infer" | b"ready") as verb]:
            return _ModelPath(model, None, verb)
        case [b"v2", b"models", model, b"versions", version_, (b"infer" | b"ready") as verb]:
            return _ModelPath(model, version_, verb)
    raise RefusedError(HTTPStatus.NOT_FOUND, f"there is nothing at {shown(path)}", remedy="see /openapi.json")


def _refuse_other(method: bytes, known: tuple[bytes, ...]) -> None:
    if method not in known:
        allowed = b", ".join(known)
        raise RefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{shown(method)} is not answered here",
            remedy=f"use {allowed.decode()}",
            headers=((b"Allow", allowed),),
        )


def _server() -> Response:
    return answer({"name": "edgewise-serve", "version": version(), "extensions": list(v2.EXTENSIONS)})
