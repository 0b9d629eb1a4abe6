"""An empty MLflow store in a moment: its tables take seven seconds of migrations, so they are made once and copied."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from mlflow.store.db.utils import _initialize_tables
from sqlalchemy import create_engine


def new_store(folder: Path, name: str = "mlflow.db") -> str:
    """The URI of the SQLite store `name` in this folder, made here when it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        shutil.copy(_with_tables(), folder / name)
    return f"sqlite:///{folder / name}"


@cache
def _with_tables() -> Path:
    path = Path(tempfile.mkdtemp(prefix="edgewise-tests-")) / "mlflow.db"
    engine = create_engine(f"sqlite:///{path}")
    _initialize_tables(engine)
    engine.dispose()
    return path
