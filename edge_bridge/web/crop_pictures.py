"""`/label/picture/<number>.png`: a crop, opened in memory for whoever may see the dashboard.

No browser, proxy or disk is to keep it (`no-store`).
"""

import logging

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from edge_bridge.labels.desk import Desk
from edge_bridge.storage.engine import StoreError

_NEVER_KEPT = {"Cache-Control": "no-store, private", "Pragma": "no-cache"}

_log = logging.getLogger(__name__)


def add(app: FastAPI, desk: Desk) -> None:
    """Serve them."""

    @app.get("/label/picture/{name}.png")
    def picture(name: str) -> Response:
        crop = int(name) if name.isascii() and name.isdecimal() and len(name) <= 18 else None
        try:
            found = desk.picture(crop) if crop is not None else None
        except StoreError as error:
            _log.warning("a crop could not be read: %s", error)
            return PlainTextResponse(f"{error}\n", 503, _NEVER_KEPT)
        if found is None:
            return PlainTextResponse("There is no such crop, or it cannot be opened any more.\n", 404, _NEVER_KEPT)
        return Response(found, media_type="image/png", headers=_NEVER_KEPT)
