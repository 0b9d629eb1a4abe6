"""Why an MLflow store does not work, of the text with which MLflow fails: for the registry and for training alike.

Not here: MLflow itself. Who calls it passes what it raised, and the folder of the schemas that this MLflow knows.
"""

import re
from pathlib import Path

from edge_contract.errors import EdgewiseError
from edge_contract.public_url import public_url, without_secrets

_SCHEMA = re.compile(r"found version (\w{1,64}), but expected (\w{1,64})")
_LONGEST = 200  # characters of what MLflow says


def schemas(mlflow: str) -> Path:
    """Where an installed MLflow keeps a file for each schema it knows, named after it. `mlflow`: its `__file__`."""
    return Path(mlflow).parent / "store" / "db_migrations" / "versions"


def explained(error: Exception, uri: str, known: Path) -> EdgewiseError:
    """What fails, and where it is known what to do about it, with a remedy.

    `uri` is the store's address: nothing secret of it is repeated. `known`: as `schemas` gives it.
    """
    shown = public_url(uri)
    if found := _SCHEMA.search(str(error)):
        if any(known.glob(f"{found[1]}_*.py")):
            return EdgewiseError(
                f"the database {shown} was written by an older MLflow (schema {found[1]})",
                remedy=f"copy it, then run `mlflow db upgrade {shown}`",
            )
        return EdgewiseError(
            f"the database {shown} was written by a newer MLflow (schema {found[1]})",
            remedy="install that MLflow here, or name another database",
        )
    first = without_secrets(str(error).strip().partition("\n")[0], [uri]) or type(error).__name__
    return EdgewiseError(first[:_LONGEST])
