"""That a browser gave the password: a cookie signed with a secret of this bridge, which says no more than when.

Nothing is stored for a session, so a restart ends none. A new password ends all, as it is part of the key.
"""

import logging
import os
import secrets
from pathlib import Path
from typing import Final

from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy.engine import make_url

from edge_contract.bounded_read import read_file

COOKIE: Final = "edgewise-session"
_BYTES: Final = 32

_log = logging.getLogger(__name__)


class Sessions:
    """Makes cookies and reads them back."""

    def __init__(self, secret: bytes, password_hash: str, seconds: float) -> None:
        """`seconds`: for how long one holds."""
        self._signed = URLSafeTimedSerializer(secret, salt=f"edgewise session {password_hash}")
        self.seconds = int(seconds)

    def issue(self) -> str:
        """The value of a cookie for a browser that gave the password just now."""
        return str(self._signed.dumps("in"))

    def holds(self, cookie: str) -> bool:
        """Whether this bridge issued it, for this password, and not too long ago."""
        try:
            return bool(self._signed.loads(cookie[:1024], max_age=self.seconds) == "in")
        except BadData:
            return False


def secret_in(file: Path) -> bytes:
    """The secret of this file, which is made when there is none, for its owner alone.

    Where it cannot be kept there it holds for this process: browsers log in again after a restart.
    """
    try:
        try:
            found = read_file(file, 4 * _BYTES)
        except FileNotFoundError:
            found = b""
        if len(found) >= _BYTES:
            return found
        made = secrets.token_bytes(_BYTES)
        file.unlink(missing_ok=True)  # what is shorter was never whole
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(made)
    except OSError as error:
        _log.warning("the secret of sessions cannot be kept in %s (%s): a restart logs every browser out", file, error)
        return secrets.token_bytes(_BYTES)
    return made


def file_beside(database: str) -> Path:
    """Where the secret stands: beside the file of a SQLite database, else in the folder that the bridge runs in."""
    url = make_url(database)
    named = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    folder = (
        Path(str(url.database)).absolute().parent if named and not str(url.database).startswith("file:") else Path()
    )
    return folder / "session.key"
