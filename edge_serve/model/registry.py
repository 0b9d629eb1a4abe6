"""The champion of a model registry: MLflow's REST interface alone, so that no server needs MLflow's packages.

What the registry holds is checked against the tags that the release side wrote when it registered the package: the
digest of the whole package, and name, release and digest of the model in it. Who may read comes from the environment
(MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD).

Not here: registering and promoting, which are `edgewise registry`'s.
"""

import base64
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Final

import msgspec

from edge_contract import limits
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_contract.package import SUFFIX, ModelPackage, read
from edge_contract.public_url import public_url, without_secrets
from edge_contract.topics import ID_PATTERN

_WAIT_S: Final = 20.0
_ANSWER_BYTES: Final = 4 * 1024 * 1024
_ALIAS: Final = re.compile(r"[a-z0-9-]{1,64}\Z")


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Version(msgspec.Struct):
    run_id: str
    tags: list[_Tag] = []


class _Answer(msgspec.Struct):
    model_version: _Version


class Champion:
    """A `Source`: the package under an alias of the registry, such as `emotion@champion`."""

    def __init__(self, model: str, uri: str, environ: Mapping[str, str]) -> None:
        """`model`: NAME@ALIAS. `uri`: of the MLflow server.

        Raises:
            UsageError: they are no such thing.
        """
        self._name, _, self._alias = model.partition("@")
        if not re.match(ID_PATTERN, self._name) or not _ALIAS.match(self._alias):
            raise UsageError(f"{model!r} names no model", remedy="give NAME@ALIAS such as emotion@champion")
        if not uri.startswith(("http://", "https://")):
            raise UsageError(
                f"{public_url(uri)} is no MLflow server" if uri else "no MLflow server is named",
                remedy="name one with --from https://… or in MLFLOW_TRACKING_URI",
            )
        self._uri = uri.rstrip("/")
        self._headers = _who(environ)
        self._given = ""

    def newest(self) -> ModelPackage | None:
        """See `Source`.

        Raises:
            TrustError: the package is not the one that was registered.
            EdgewiseError: the registry does not give it.
        """
        asked = {"name": self._name, "alias": self._alias}
        try:
            found = msgspec.json.decode(
                self._get("api/2.0/mlflow/registered-models/alias", asked, _ANSWER_BYTES), type=_Answer
            ).model_version
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EdgewiseError(
                f"{public_url(self._uri)} answers as no MLflow server ({error})", remedy="check the address"
            ) from error
        tags = {tag.key: tag.value for tag in found.tags}
        release, whole = tags.get("release", ""), tags.get("package", "")
        if not release.isascii() or not release.isdecimal() or len(release) > 10 or not found.run_id:
            raise EdgewiseError(
                f"{self._name}@{self._alias} was not registered by Edgewise", remedy="run `edgewise registry add`"
            )
        if whole and whole == self._given:
            return None
        file = f"package/{self._name}-{release}{SUFFIX}"
        data = self._get("get-artifact", {"path": file, "run_uuid": found.run_id}, limits.PACKAGE_BYTES)
        package = read(data, file)
        manifest = package.manifest
        registered = (self._name, int(release), tags.get("digest"))
        if digest_of(data) != whole or registered != (manifest.name, manifest.release, manifest.digest):
            raise TrustError(
                f"{file} in the registry is not the package that was registered as {self._name} {release}",
                remedy="find out who changed it, and register the package under the next release number",
            )
        self._given = whole
        return package

    def _get(self, path: str, query: Mapping[str, str], at_most: int) -> bytes:
        request = urllib.request.Request(  # noqa: S310  # http or https, as was checked
            f"{self._uri}/{path}?{urllib.parse.urlencode(query)}", headers=dict(self._headers)
        )
        try:
            with _opener.open(request, timeout=_WAIT_S) as response:
                data: bytes = response.read(at_most + 1)
        except (OSError, ValueError) as error:
            reason = without_secrets(str(error), [self._uri])
            raise EdgewiseError(
                f"the registry {public_url(self._uri)} does not give {self._name}@{self._alias} ({reason})",
                remedy="check its address, who may read it, and `edgewise registry list`",
            ) from error
        if len(data) > at_most:
            raise EdgewiseError(f"the registry answers with more than {at_most:,} bytes", remedy="check its address")
        return data


class _SameServer(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """No redirection is followed: the password would go along."""


_opener: Final = urllib.request.build_opener(_SameServer)


def _who(environ: Mapping[str, str]) -> dict[str, str]:
    if token := environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user, password = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    return {}
