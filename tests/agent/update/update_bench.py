"""A release side and a device for update tests: the real ones, on a real broker, with quick waits."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.models import chunks
from edge_agent.models.selftest import COMMAND
from edge_agent.models.slots import ActiveModel
from edge_agent.mqtt.link import Link as DeviceLink
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.trust import retained_metadata
from edge_agent.trust.verifier import COMMAND as VERIFY_COMMAND
from edge_agent.update import desired_tracker, updater
from edge_agent.update.installation import UpdateSettings
from edge_agent.update.store import StateStore
from edge_agent.update.updater import ModelUpdates
from edge_agent.update.work import Challenger
from edge_contract import package, topics
from edge_contract.envelope import seal
from edge_contract.messages import ModelRef, Reported, encode
from edge_contract.package import ModelPackage
from edge_contract.trust import DESIRED_TYPE
from edge_contract.wave import Mode, ShadowTerms, Wave
from edge_fleet.link import Link
from edge_fleet.releases.desired import DesiredStates, Issued
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.releases import Releases
from edge_fleet.releases.repository import Repository
from edge_mqtt.address import BrokerAddress
from tests.eventually import eventually

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
DEVICE, GROUP = "cam-1", "shop"


def tiny(release: int) -> ModelPackage:
    """A real int8 model of a few kilobytes."""
    return package.read_file(FIXTURES / f"tiny-{release}.ewm")


@dataclass
class ReleaseSide:
    """Keys, repository and a way to the broker."""

    directory: Path
    port: int
    offset: float = 0.0
    """Seconds that this side's clock is wrong by."""
    account: Mapping[str, str] = field(default_factory=dict)
    """User and password, where the broker wants them."""
    repository: Repository = field(init=False)
    releases: Releases = field(init=False)
    desired: DesiredStates = field(init=False)

    def __post_init__(self) -> None:
        keys = KeyStore((self.directory / "keys",))
        self.repository = Repository(self.directory, keys, lambda: datetime.fromtimestamp(self.now(), UTC))
        if not self.repository.exists:
            self.repository.create(root_keys=3, threshold=2)
        self.releases = Releases(self.repository)
        self.desired = DesiredStates(self.repository, self.now)

    def now(self) -> float:
        return time.time() + self.offset

    @contextmanager
    def publisher(self) -> Iterator[Publisher]:
        with Link(BrokerAddress(port=self.port, **self.account)) as link:
            yield Publisher(self.releases, self.desired, link)

    def push(self, model: ModelPackage, scope: str = f"group/{GROUP}", *, retry: bool = False) -> ModelRef:
        """Release it if it is not, publish all, and desire it."""
        self.releases.add(model)
        ref = model.manifest.ref
        with self.publisher() as publisher:
            publisher.metadata()
            publisher.release(self.releases.find(ref.name, ref.release))
            publisher.states([self.desired.issue(scope, ref, retry=retry)])
        return ref

    def wave(
        self,
        rest: ModelPackage,
        trial: ModelPackage,
        mode: Mode,
        share: float = 1.0,
        *,
        shadow: ShadowTerms = ShadowTerms(),  # noqa: B008  # frozen
        scope: str = f"group/{GROUP}",
    ) -> ModelRef:
        """Desire `rest` for the group and `trial` for a share of it, as a rollout does."""
        ref = trial.manifest.ref
        with self.publisher() as publisher:
            for model in (rest, trial):
                self.releases.add(model)
                publisher.metadata()
                publisher.release(self.releases.find(model.manifest.name, model.manifest.release))
            wave = Wave(model=ref, mode=mode, share=share, salt=ref.digest, shadow=shadow)
            state = replace(self.desired.issue(scope, rest.manifest.ref).state, wave=wave)
            envelope = seal(state, DESIRED_TYPE, self.repository.online_signer())
            self.desired.keep(scope, envelope)
            publisher.states([Issued(state, envelope)])
        return ref

    def say(self, topic: str, payload: bytes) -> None:
        """Retain anything at all, as somebody with access to the broker could."""
        with self.publisher() as publisher:
            publisher.link.publish([(topic, payload)])  # type: ignore[list-item]


class Device:
    """One device's update thread; the model's answers are fed by hand or by `feed`."""

    def __init__(
        self,
        directory: Path,
        port: int,
        root: bytes,
        *,
        groups: tuple[str, ...] = (GROUP,),
        now: Callable[[], float] = time.time,
        feed: bool = True,
        factory: Path | None = None,
        selftest_command: tuple[str, ...] = COMMAND,
        verify_command: tuple[str, ...] = VERIFY_COMMAND,
        on_activate: Callable[[ActiveModel], None] = lambda _: None,
        on_shadow: Callable[[Challenger | None], None] = lambda _: None,
        window: str = "",
        account: Mapping[str, str] = {},  # read alone
    ) -> None:
        self.directory, self.port = directory, port
        self.reports: list[Reported] = []
        self.activated: list[ModelRef] = []
        self._objection, self._shadow_objection = on_activate, on_shadow
        self.beside: list[ModelRef | None] = []
        """What was given to run in shadow, in order; None where it ended."""
        self.store = StateStore(directory / "state.db")
        session = self.store.next_session()
        broker = BrokerSettings(port=port, **account)
        self.control = DeviceLink(broker, DEVICE, clean_start=False, on_connect=self._say_again)
        self.updates = ModelUpdates(
            directory,
            UpdateSettings(
                device=DEVICE,
                groups=groups,
                root=root,
                runtime="test",
                factory=factory,
                probation_answers=3,
                selftest_command=selftest_command,
                verify_command=verify_command,
                window=window,
            ),
            store=self.store,
            session=session,
            link=self.control,
            on_activate=self._activate,
            on_shadow=self._run_beside,
            report=self._report,
            now=now,
        )
        self._stop = threading.Event()
        self._feeder = threading.Thread(target=self._feed, daemon=True) if feed else None

    def __enter__(self) -> "Device":
        self.updates.start()
        self.control.start()
        if self._feeder is not None:
            self._feeder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.updates.stop()
        self.control.stop()
        self.store.close()

    @property
    def running(self) -> str | None:
        """The digest of what runs."""
        active = self.updates.active()
        return active.manifest.digest if active is not None else None

    @property
    def reported(self) -> Reported:
        """What was said last."""
        return self.reports[-1]

    def until(self, state: str, reason: str = "") -> Reported:
        """Wait for a state whose reason holds this text, and return the report."""
        eventually(
            lambda: self.reported.state == state and reason in self.reported.reason,
            f"{state} {reason!r}; last said {self.reports[-1:]}",
        )
        return self.reported

    def until_reason(self, reason: str) -> Reported:
        """Wait for a reason, whatever the state."""
        eventually(lambda: reason in self.reported.reason, f"{reason!r}; last said {self.reports[-1:]}")
        return self.reported

    def _activate(self, model: ActiveModel) -> None:
        self._objection(model)
        self.activated.append(model.manifest.ref)

    def _run_beside(self, challenger: Challenger | None) -> None:
        self._shadow_objection(challenger)
        self.beside.append(None if challenger is None else challenger.model.manifest.ref)

    def _report(self, reported: Reported) -> None:
        self.reports.append(reported)
        self._say(reported)

    def _say_again(self) -> None:
        if (reported := self.updates.reported()) is not None:
            self._say(reported)

    def _say(self, reported: Reported) -> None:
        self.control.publish(topics.device(DEVICE, "reported"), encode(reported), retain=True)

    def _feed(self) -> None:
        while not self._stop.wait(0.01):
            if (active := self.updates.active()) is not None:
                self.updates.answered(active.manifest.ref)
            if self.beside and (beside := self.beside[-1]) is not None:
                self.updates.answered(beside)


def quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a device waits for absent things; the order of events stays the same."""
    monkeypatch.setattr(chunks, "SILENCE_S", 0.3)
    monkeypatch.setattr(retained_metadata, "SILENCE_S", 0.5)
    monkeypatch.setattr(desired_tracker, "_PAUSE_S", 0.02)
    monkeypatch.setattr(desired_tracker, "RETRY_S", 0.2)
    monkeypatch.setattr(updater, "_TICK_S", 0.03)
    monkeypatch.setattr(updater, "_CALM_S", 0.03)
