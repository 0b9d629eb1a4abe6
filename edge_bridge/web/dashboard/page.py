"""The dashboard's addresses, and what stands behind each; drawn by NiceGUI.

Every script, font and style comes from its wheel, so the pages work without internet. Each open page has a timer that
takes a look at `Source`; looks are shared by all pages, and only what changed is sent. No page waits on the event loop
for a lock, the database or another program.
"""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import ui

from edge_bridge.web.dashboard import theme
from edge_bridge.web.dashboard.pages.alerts import alerts
from edge_bridge.web.dashboard.pages.device import device
from edge_bridge.web.dashboard.pages.devices import devices
from edge_bridge.web.dashboard.pages.home import home
from edge_bridge.web.dashboard.pages.label import label
from edge_bridge.web.dashboard.pages.loop import loop
from edge_bridge.web.dashboard.pages.predictions import predictions
from edge_bridge.web.dashboard.pages.releases import releases
from edge_bridge.web.dashboard.pages.rollouts import rollout, rollouts
from edge_bridge.web.dashboard.source import Source

_NAME: Final = 64


def mount(app: FastAPI, source: Source) -> None:
    """Serve the pages of this application; what it answers itself must be there already."""

    @ui.page("/")
    async def _home(request: Request) -> None:
        await home(source, request)

    @ui.page("/devices", title="Devices · Edgewise")
    async def _devices(request: Request) -> None:
        await devices(source, request)

    @ui.page("/device/{name}", title="Device · Edgewise")
    async def _device(request: Request, name: str) -> None:
        ui.page_title(f"{name[:_NAME]} · Edgewise")
        await device(source, request, name[:_NAME])

    @ui.page("/rollouts", title="Rollouts · Edgewise")
    async def _rollouts(request: Request) -> None:
        await rollouts(source, request)

    @ui.page("/rollout/{group}", title="Rollout · Edgewise")
    async def _rollout(request: Request, group: str) -> None:
        ui.page_title(f"{group[:_NAME]} · Edgewise")
        await rollout(source, request, group[:_NAME])

    @ui.page("/releases", title="Releases · Edgewise")
    async def _releases(request: Request) -> None:
        await releases(source, request)

    @ui.page("/alerts", title="Alerts · Edgewise")
    async def _alerts(request: Request) -> None:
        await alerts(source, request)

    @ui.page("/loop", title="Loop · Edgewise")
    async def _loop(request: Request) -> None:
        await loop(source, request)

    @ui.page("/predictions", title="Predictions · Edgewise")
    async def _predictions(request: Request) -> None:
        await predictions(source, request)

    @ui.page("/label", title="Label · Edgewise")
    async def _label(request: Request) -> None:
        await label(source, request)

    ui.run_with(
        app,
        title="Edgewise",
        favicon=theme.ICON,
        dark=None,
        show_welcome_message=False,
        tailwind=False,
        gzip_middleware_factory=lambda inner: GZipMiddleware(inner, minimum_size=1000, compresslevel=3),
    )
