"""The server's settings: an optional TOML file, options, and what a cloud says in the environment.

The rules for files and paths are every role's (`edge_contract.settings_file`); an option wins over the file. The only
place of the server that reads the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.setting_types import Id
from edge_contract.settings_file import check, read_toml
from edge_vision.detector_file import YUNET_SHA256

ROUTE: Final = r"^/[A-Za-z0-9._~/:-]{0,255}\Z"
Route = Annotated[str, Meta(pattern=ROUTE, description="a path such as /score")]


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int
    """0 takes a free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: what one request may ask for, and all of them together. Each has its own status code."""

    body_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = 16 * 1024 * 1024
    """413 above it."""
    tensors: Annotated[int, Meta(ge=1, le=65536)] = 256
    """Tensors in one request; 413 above it."""
    pictures: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Photographs in one request; 413 above it."""
    pixels: Annotated[int, Meta(ge=4096, le=8192 * 4320)] = 24_000_000
    """Of one photograph, as its header says before it is decoded; 413 above it. Decoding takes 6 bytes a pixel."""
    side: Annotated[int, Meta(ge=64, le=65535)] = 8192
    """Of one photograph's longer side, in pixels; 413 above it."""
    connections: Annotated[int, Meta(ge=1, le=65536)] = 1024
    """503 above it."""
    queue: Annotated[int, Meta(ge=0, le=65536)] = 64
    """Requests that wait for a thread; 503 above it."""
    queue_bytes: Annotated[int, Meta(ge=1024, le=2**40)] = 128 * 1024 * 1024
    """Bytes of their bodies; 503 above it."""
    request_s: Annotated[float, Meta(ge=0.1, le=3600)] = 20.0
    """From a request's first byte to its last; 408 above it."""
    answer_s: Annotated[float, Meta(ge=0.1, le=3600)] = 30.0
    """From a request's last byte to its answer; 503 where it waited for so long, 504 where it was worked on."""
    idle_s: Annotated[float, Meta(ge=1, le=3600)] = 75.0
    """A connection without a request is closed after so long; longer than load balancers wait (60 s)."""
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 25.0
    """After SIGTERM, what is open is answered within so long: SageMaker kills after 30 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """`[model]`: how the model is run, and when a new one is looked for."""

    face_detector: Path | None = None
    """YuNet's ONNX file (`make face-detector`); OpenCV's Haar cascade when absent, as on the device."""
    face_detector_sha256: Annotated[
        str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="64 small hexadecimal digits")
    ] = YUNET_SHA256
    threads: Annotated[int, Meta(ge=1, le=64)] | None = None
    """For photographs and large batches, beside the event loop; each has a detector and an interpreter of its own. When
    absent, one for each core that this process may use, 8 at most."""
    look_every_s: Annotated[float, Meta(ge=0.05, le=86400)] = 2.0
    """How often a new model is looked for where it comes from; SIGHUP looks at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """`[routes]`: where the cloud wants to be answered, beside the routes that are always there."""

    health: tuple[Route, ...] = ()
    """200 while the model is ready, 503 otherwise."""
    predict: tuple[Route, ...] = ()
    """As `/invocations`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of them."""

    listen: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9._:%\[\]-]{1,255}:[0-9]{1,5}\Z", description="an address such as 127.0.0.1:8080"),
    ] = "127.0.0.1:8080"
    site: Id = "cloud"
    """The label `site` of the metrics: where this server stands, among the fleet's sites."""
    name: Id = "edgewise-serve"
    """The label `device` of the metrics."""
    limits: LimitSettings = field(default_factory=LimitSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    routes: RouteSettings = field(default_factory=RouteSettings)

    def __post_init__(self) -> None:
        """Raises UsageError: `listen` names no port."""
        self.address  # noqa: B018  # refused now rather than when it is used

    @property
    def address(self) -> Address:
        """Where to listen.

        Raises:
            UsageError: `listen` is no address.
        """
        host, _, port = self.listen.rpartition(":")
        if int(port) > 65535:
            raise UsageError(f"listen {self.listen!r} is no address", remedy="give HOST:PORT such as 127.0.0.1:8080")
        return Address(host.strip("[]"), int(port))


def read(path: Path | None, environ: Mapping[str, str], *, listen: str | None = None) -> Settings:
    """From a file, or the defaults; with the routes that Vertex AI names in the environment.

    Raises:
        UsageError: a key or value cannot be used; the text names file and key.
    """
    document = {} if path is None else read_toml(path, remedy="name the server's settings, or leave --config out")
    if listen is not None:
        document = {**document, "listen": listen}
    routes = dict(document.get("routes", {})) if isinstance(document.get("routes", {}), Mapping) else {}
    for key, variable in (("health", "AIP_HEALTH_ROUTE"), ("predict", "AIP_PREDICT_ROUTE")):
        if named := environ.get(variable):
            routes[key] = [*routes.get(key, []), named]
    if routes:
        document = {**document, "routes": routes}
    return check(document, Settings, name=path, base=path.parent if path else Path.cwd(), environ=environ)


class Cloud(NamedTuple):
    """What the argument `serve` means: where a cloud put the model, and where it wants to be answered."""

    listen: str
    places: tuple[Path, ...]
    """Files, and folders that hold one package, of which the first that is there counts."""


def cloud(environ: Mapping[str, str]) -> Cloud:
    """By the variables of SageMaker, Azure ML and Vertex AI, and our own EDGEWISE_PACKAGE."""
    port = environ.get("AIP_HTTP_PORT") or environ.get("SAGEMAKER_BIND_TO_PORT") or "8080"
    if named := environ.get("EDGEWISE_PACKAGE"):
        return Cloud(f"0.0.0.0:{port}", (Path(named),))
    folders = [environ["AZUREML_MODEL_DIR"]] if environ.get("AZUREML_MODEL_DIR") else []
    return Cloud(f"0.0.0.0:{port}", (*map(Path, folders), Path("/opt/ml/model")))
