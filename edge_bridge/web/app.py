"""The HTTP side: `/metrics`, `/-/healthy`, `/-/ready`, and the dashboard's page mounted below them, all on one port.

Handlers that take time are plain functions, so they run on the server's worker threads: the event loop, which carries
the dashboard's sockets, never waits for a lock, the database or an exposition.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.background import BackgroundTask

from edge_bridge.metrics.page import Page
from edge_contract import process_memory

LARGE: Final = 4_000_000
"""Bytes of an exposition after which what it took on the way is given back to the system."""


class Health(NamedTuple):
    """What the two probes answer from; each function is cheap and never blocks."""

    link_alive: Callable[[], bool]
    intake_alive: Callable[[], bool]
    connected: Callable[[], bool]
    writable: Callable[[], bool]


def make_app(page: Page, health: Health, clock: Callable[[], float]) -> FastAPI:
    """The application without its dashboard. `clock` gives seconds since 1970."""
    app = FastAPI(title="Edgewise bridge", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/metrics")
    def read_metrics(request: Request) -> Response:
        page.own.connected.set(health.connected())
        text, content_type = page.render(request.headers.get("accept", ""), clock())
        after = BackgroundTask(process_memory.give_back) if len(text) > LARGE else None
        return Response(text, headers={"Content-Type": content_type, "Vary": "Accept"}, background=after)

    @app.get("/-/healthy")
    async def healthy() -> Response:
        return _answer({"link thread": health.link_alive(), "intake thread": health.intake_alive()})

    @app.get("/-/ready")
    async def ready() -> Response:
        return _answer({"broker connected": health.connected(), "database writable": health.writable()})

    return app


def _answer(facts: dict[str, bool]) -> Response:
    """200 when all hold, else 503; a line for each."""
    lines = "".join(f"{name}: {'yes' if holds else 'no'}\n" for name, holds in facts.items())
    return PlainTextResponse(lines, status_code=200 if all(facts.values()) else 503)
