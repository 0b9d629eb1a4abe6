"""`/predictions.csv` and `/predictions.parquet`: the prediction log to take along, filtered as its page is.

A file is written whole before its first byte is sent, so that a log which cannot be read to its end is an error and not
a short file; one at a time, and of bounded length.
"""

import logging
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.background import BackgroundTask

from edge_bridge.storage.prediction_export import export_csv_file, export_parquet
from edge_bridge.storage.prediction_query import PredictionLog
from edge_bridge.web.dashboard import prediction_search
from edge_contract.errors import EdgewiseError, UsageError

ROWS: Final = 1_000_000
"""Predictions in one file, the newest: about 300 MB as CSV. `edgewise predictions export` has no such limit."""
_MEDIA: Final = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}

_BUSY: Final = "Another export is being written: try again in a minute.\n"

_log = logging.getLogger(__name__)


def add(app: FastAPI, log: PredictionLog) -> None:
    """Serve both."""
    one_at_a_time = threading.Lock()

    @app.get("/predictions.{kind}")
    def export(request: Request, kind: str) -> Response:
        if kind not in _MEDIA:
            return PlainTextResponse("There are predictions.csv and predictions.parquet.\n", 404)
        if not one_at_a_time.acquire(blocking=False):
            return PlainTextResponse(
                "Another export is being written: try again in a minute.\n", 503, {"Retry-After": "60"}
            )
        try:
            return _written(log, kind, dict(request.query_params))
        finally:
            one_at_a_time.release()


def _written(log: PredictionLog, kind: str, parameters: dict[str, str]) -> Response:
    wanted = prediction_search.asked(parameters).filter(ROWS)
    folder = Path(tempfile.mkdtemp(prefix="edgewise-export-"))
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    file = folder / f"predictions.{kind}"
    try:
        (export_csv_file if kind == "csv" else export_parquet)(log.rows(wanted), file)
    except (EdgewiseError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        _log.warning("predictions could not be exported: %s", error)
        return PlainTextResponse(f"{error}\n", 501 if isinstance(error, UsageError) else 503)
    return FileResponse(file, media_type=_MEDIA[kind], filename=file.name, background=done)
