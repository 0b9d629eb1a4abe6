"""The loop's settings: one TOML file, read once into frozen dataclasses.

The rules for files, paths and secrets are every role's (`edge_contract.settings_file`). There is no setting of the gate
here, and none may come: what a model has to show is said where models are made, and a loop that could lower it would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.setting_types import Id, Share, Text, TextOrNone
from edge_contract.settings_file import Secret, check, found_in, read_toml
from edge_fleet.listener import listen_address
from edge_mqtt.address import PASSWORD, BrokerAddress

TOKEN: Final = Secret("EDGEWISE_LOOP_TOKEN", "loop-token")
"""What Alertmanager shows as a bearer token."""
GITHUB_TOKEN: Final = Secret("EDGEWISE_GITHUB_TOKEN", "github-token")
"""A fine-grained token of one repository: actions, read and write."""
JENKINS_TOKEN: Final = Secret("EDGEWISE_JENKINS_TOKEN", "jenkins-token")
"""A user's API token."""
SHORTEST_TOKEN: Final = 16

_URL = Annotated[
    str,
    Meta(
        pattern=r"^(https?://[^\s/?#@\x00-\x1f\x7f]{1,253}(/[^\s?#\x00-\x1f\x7f]{0,200})?)?\Z",
        description="an address such as https://ci.example.org, without user, query and fragment",
    ),
]
_JOB = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){0,8}\Z", description="names between slashes"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: how often, and for how long."""

    trainings_per_week: Annotated[int, Meta(ge=0, le=1000)] = 2
    """Trainings that begin within seven days; 0 trains never."""
    cooldown_hours: Annotated[float, Meta(ge=0, le=8760)] = 24.0
    """After a training ended, however it did, until the next one begins."""
    gather_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """Alerts are looked at together when the last one came so long ago."""
    lasting_hours: Annotated[float, Meta(ge=0, le=8760)] = 24.0
    """A cause that was accepted fires for so long before it is learned."""
    patience_hours: Annotated[float, Meta(ge=0.01, le=8760)] = 1.0
    """For how long a step that cannot be done now (no broker, no registry) is tried again before the run fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """`[labels]`: what is enough to learn from."""

    field: Path | None = None
    """The folder that `edgewise labels export --folder` writes; without one there are no labels."""
    enough: Annotated[int, Meta(ge=10, le=1_000_000)] = 200
    """Labelled faces of the random stratum."""
    device_share: Annotated[float, Meta(ge=0.01, le=1)] = 0.5
    """No device counts for more than this share of them: with 0.5 at least two devices are needed."""
    expected: Share = 0.0
    """The accuracy that labelled accuracy is held against; 0: the release's own on its test split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """`[training]`: where and how."""

    action: Literal["local", "github", "jenkins"] = "local"
    command: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)] = ("make", "retrain")
    """For `local`: the program and its arguments; no shell reads it."""
    checkout: Path = Path()
    """For `local`: the folder it runs in."""
    hours: Annotated[float, Meta(gt=0, le=720)] = 12.0
    """A training that takes longer is ended, and has failed."""
    work: Path = Path("loop")
    """Logs, results and fetched packages, a folder a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubSettings:
    """`[github]`: a workflow that is started by `workflow_dispatch`."""

    api: _URL = "https://api.github.com"
    repository: Annotated[
        str, Meta(pattern=r"^([A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100})?\Z", description="OWNER/NAME")
    ] = ""
    workflow: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,200}\Z", description="a workflow's file")] = "train.yml"
    ref: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_./-]{1,200}\Z", description="a branch or tag")] = "main"
    token: Annotated[str, Meta(min_length=1, max_length=1024)] | None = field(default=None, repr=False)
    """From `GITHUB_TOKEN` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JenkinsSettings:
    """`[jenkins]`: a job with the parameters RETRAIN_CAUSE, RETRAIN_FIELD and RETRAIN_RUN."""

    url: _URL = ""
    job: _JOB = "retrain"
    """Its name, within folders as FOLDER/NAME."""
    user: TextOrNone = ""
    token: Annotated[str, Meta(min_length=1, max_length=1024)] | None = field(default=None, repr=False)
    """From `JENKINS_TOKEN` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """`[rollout]`: how a release that came of a run reaches the group."""

    plan: Path | None = None
    """A plan file; docs/rollouts.md."""
    approve: bool = True
    """Whether a person approves before any wave begins, whatever the plan says; false leaves that to the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """`[registry]`: where challengers and champions are kept."""

    uri: TextOrNone = ""
    """An MLflow store; empty for none."""
    ledger: Path = Path("fleet/ledger.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """The loop of one model and one group."""

    model: Id
    group: Id
    repository: Path = Path("fleet")
    """The release side's folder: the loop's database is in it, beside that of the rollouts."""
    listen: Text = "127.0.0.1:9110"
    """HOST:PORT of Alertmanager's webhook."""
    exposed: bool = False
    """Whether `listen` may be reached from other machines."""
    dry_run: bool = False
    """Say what would be done, and train nothing."""
    token: Annotated[str, Meta(min_length=SHORTEST_TOKEN, max_length=1024)] | None = field(default=None, repr=False)
    """From `TOKEN` alone."""
    broker: BrokerAddress = field(default_factory=BrokerAddress)
    limits: LimitSettings = LimitSettings()
    labels: LabelSettings = LabelSettings()
    training: TrainingSettings = TrainingSettings()
    github: GithubSettings = GithubSettings()
    jenkins: JenkinsSettings = JenkinsSettings()
    rollout: RolloutSettings = RolloutSettings()
    registry: RegistrySettings = RegistrySettings()

    def __post_init__(self) -> None:
        """Refuse what could never work.

        Raises:
            UsageError: the listener's address or what the action needs is missing.
        """
        listen_address(self.listen, "listen", exposed=self.exposed, expose="set exposed = true")
        if self.training.action == "github" and not (self.github.repository and self.github.api):
            raise UsageError("github.repository names no repository", remedy='write it as repository = "OWNER/NAME"')
        if self.training.action == "jenkins" and not (self.jenkins.url and self.jenkins.user):
            raise UsageError("jenkins.url and jenkins.user are needed", remedy="name the server and whose token it is")

    @property
    def address(self) -> tuple[str, int]:
        """Where the webhook listens."""
        return listen_address(self.listen, "listen", exposed=self.exposed, expose="set exposed = true")


SECRETS: Final = {
    "broker.password": PASSWORD, "token": TOKEN, "github.token": GITHUB_TOKEN, "jenkins.token": JENKINS_TOKEN
}  # fmt: skip


_PATHS: Final = (
    ("", "repository", "fleet"), ("training", "checkout", "."), ("training", "work", "loop"),
    ("registry", "ledger", "fleet/ledger.jsonl"),
)  # fmt: skip


def read(file: Path, environ: Mapping[str, str]) -> LoopSettings:
    """Settings of the file, completed by the environment's secrets.

    Raises:
        UsageError: the file or a value cannot be used; the text names the key and the remedy.
    """
    document = read_toml(file, remedy="name another with --config")
    with found_in(f"{file}: "):
        token = _token(document, environ)
        _with_url(document)
    for section, key, path in _PATHS:  # a default path, too, is relative to the file
        table = document.setdefault(section, {}) if section else document
        if isinstance(table, dict):
            table.setdefault(key, path)
    secrets = {key: secret for key, secret in SECRETS.items() if "." in key}
    if token is not None:
        document["token"] = token
    return check(document, LoopSettings, name=file, base=file.parent, environ=environ, secrets=secrets)


def _token(document: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """The webhook's token: it stands in no section, where `check` looks for secrets."""
    if "token" in document:
        raise UsageError("token does not belong in a file", remedy=f"set {TOKEN}")
    token = TOKEN.read(environ)
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"the webhook's token has fewer than {SHORTEST_TOKEN} characters", remedy="make one: `openssl rand -hex 32`"
        )
    return token


def _with_url(document: dict[str, Any]) -> None:
    """Replace `broker.url` by the keys that it stands for; keys beside it win."""
    section = document.get("broker")
    if isinstance(section, dict) and "url" in section:
        address = BrokerAddress.parse(str(section.pop("url")))
        keys: dict[str, Any] = {"host": address.host, "port": address.port, "tls": address.tls}
        if address.username is not None:
            keys["username"] = address.username
        document["broker"] = {**keys, **section}
