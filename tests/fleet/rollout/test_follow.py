"""A group that follows the champion: a real MLflow store, a real broker, and devices that speak the wire."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from edge_contract import package as packages
from edge_contract.errors import UsageError
from edge_contract.package import ModelPackage
from edge_fleet.registry.champion_watch import ChampionWatch
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.mlflow import Store, Version
from edge_fleet.registry.registry import Registry
from edge_fleet.rollout import follow
from edge_fleet.rollout.events import Aborted
from edge_fleet.rollout.follow import Follower
from edge_fleet.rollout.machine import Phase
from edge_fleet.rollout.serving import is_served
from edge_fleet.rollout.store import RolloutStore
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import tiny
from tests.fleet.commands.test_rollout import Side, with_devices
from tests.fleet.registry.test_webhook import headers, signed
from tests.fleet.rollout.scripted import eventually
from tests.fleet.rollout.test_controller import QUICK, Fleet
from tests.mlflow_store import new_store

pytestmark = pytest.mark.xdist_group("mlflow")

SECRET = "a secret of the tests, long enough"  # noqa: S105


def numbered(release: int) -> ModelPackage:
    """A further release of the second model."""
    package = tiny(2)
    return package._replace(manifest=replace(package.manifest, release=release))


class Following:
    """A fleet whose group `lab` follows tiny, turned by hand; the registry is looked at all the time."""

    def __init__(self, folder: Path, port: int, stack: ExitStack) -> None:
        self.fleet = Fleet(folder / "fleet", port, stack)
        self.uri = new_store(folder)
        self.registry = Registry(self.uri, Ledger(folder / "ledger.jsonl"), time.time)
        self.store = stack.enter_context(RolloutStore(folder / "fleet"))
        self.watch = stack.enter_context(ChampionWatch(self.registry, "tiny", every_s=0.05))
        self.said: list[str] = []
        self.follower = self.another_follower()

    def another_follower(self) -> Follower:
        return Follower(
            self.fleet.publisher,
            self.store,
            self.fleet.controller.fleet,
            self.watch,
            "lab",
            QUICK,
            self.said.append,
        )

    def turn(self) -> None:
        self.fleet.controller.turn()
        self.follower.turn()

    def promote(self, package: ModelPackage) -> None:
        self.registry.register(package)
        self.registry.promote(package.manifest.name, package.manifest.release)

    def until_said(self, text: str) -> None:
        eventually(lambda: any(text in said for said in self.said), f"{text}: {self.said}", self.turn)

    def after_looks(self, looks: int = 3) -> None:
        """Turn until the registry was looked at so many times more."""
        before = self._looks()
        eventually(lambda: self._looks() >= before + looks, "it looks", self.turn)

    def _looks(self) -> int:
        return 0 if self.watch.look is None else self.watch.look.number

    def told(self) -> list[str]:
        """What was said, but for what a look between registering and promoting finds."""
        return [said for said in self.said if "has no model" not in said and "no champion yet" not in said]

    def rollouts(self) -> list[tuple[int, str]]:
        return [(state.release.release, state.by) for state in self.store.all()]


@pytest.fixture
def following(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    monkeypatch.chdir(tmp_path)  # artifacts of a store that is a file
    monkeypatch.setattr(follow, "GATHER_S", 0.0)
    with ExitStack() as stack:
        found = Following(tmp_path, broker.port, stack)
        found.fleet.join()
        found.fleet.controller.turn()
        yield found


def test_each_move_of_the_champion_starts_one_rollout(following: Following) -> None:
    following.promote(tiny(1))  # which the group runs
    eventually(lambda: following.store.followed("tiny", "lab"), "the first champion is dealt with", following.turn)
    assert (following.rollouts(), following.told()) == ([], [])
    following.promote(tiny(2))
    following.until_said("tiny 2 became champion: lab-1 rolls it out to group lab.")
    following.fleet.until(lambda state: state.phase is Phase.COMPLETED)
    following.after_looks()
    assert following.rollouts() == [(2, follow.BY)]
    following.registry.promote("tiny", 1)
    following.until_said("tiny 1 became champion: lab-2 rolls it out to group lab.")
    following.after_looks()
    assert following.rollouts() == [(2, follow.BY), (1, follow.BY)]


def test_what_ended_badly_is_not_begun_again_until_the_champion_moved(following: Following) -> None:
    following.promote(tiny(2))
    following.until_said("lab-1 rolls it out")
    following.store.transition("lab-1", Aborted("revert", "maria", 0.0), 0.0)
    following.fleet.until(lambda state: state.phase is Phase.ABORTED)
    following.follower = following.another_follower()  # as after a restart
    following.after_looks()
    assert following.rollouts() == [(2, follow.BY)]
    following.promote(tiny(1))
    eventually(
        lambda: (kept := following.store.followed("tiny", "lab")) and kept.digest == tiny(1).manifest.digest,
        "the group runs it already",
        following.turn,
    )
    following.registry.promote("tiny", 2)
    following.until_said("lab-2 rolls it out")


def test_one_that_was_started_by_hand_or_not_noted_before_a_kill_is_not_started_again(following: Following) -> None:
    following.fleet.start()
    following.promote(tiny(2))
    following.after_looks()
    assert following.rollouts() == [(2, "maria")]
    assert following.told() == []
    assert following.store.followed("tiny", "lab") is not None


def test_a_champion_that_is_not_released_is_released_where_the_key_is(following: Following) -> None:
    following.promote(numbered(3))
    following.until_said("tiny 3 is released: it became champion in the registry.")
    following.until_said("tiny 3 became champion: lab-1")
    assert following.fleet.side.releases.find("tiny", 3).manifest == numbered(3).manifest


def test_without_the_release_key_it_is_said_what_to_run_once_and_tried_again(following: Following) -> None:
    keys = following.fleet.side.directory / "keys"
    (key,) = keys.glob("release-*.pem")
    key.rename(keys.parent / key.name)
    following.promote(numbered(3))
    following.until_said("run `edgewise release tiny-3.ewm` where the release key is.")
    following.after_looks()
    assert len(following.told()) == 1
    assert following.rollouts() == []
    (keys.parent / key.name).rename(key)
    following.until_said("tiny 3 became champion: lab-1")


def test_a_rollout_that_runs_is_waited_for(following: Following) -> None:
    following.fleet.start()
    following.promote(numbered(3))
    following.until_said("the rollout lab-1 of tiny 2 runs in group lab; wait for it")
    following.after_looks()
    assert len(following.told()) == 1
    following.fleet.until(lambda state: state.phase is Phase.COMPLETED)
    # Its digest is the same model's, which the group runs by now.
    eventually(lambda: following.store.followed("tiny", "lab"), "the champion is dealt with", following.turn)
    assert following.rollouts() == [(2, "maria")]


def test_no_device_yet_is_tried_again(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(follow, "GATHER_S", 0.0)
    with ExitStack() as stack:
        following = Following(tmp_path, broker.port, stack)
        following.promote(tiny(2))
        following.until_said("no device of group lab has reported on this broker; see `edgewise fleet ls`.")
        following.after_looks()
        assert len(following.told()) == 1
        following.fleet.join()
        following.until_said("lab-1 rolls it out")


def foreign(store: Store, tags: dict[str, str]) -> None:
    client = store._mlflow
    client.create_registered_model("tiny")
    made = client.create_model_version("tiny", "somewhere", tags=tags)
    client.set_registered_model_alias("tiny", "champion", made.version)


@pytest.mark.parametrize(
    "tags", [{}, {"release": "two", "digest": "a" * 64}, {"release": "²", "digest": "a" * 64}, {"release": "2"}]
)
def test_a_champion_that_edgewise_did_not_register_is_said_and_breaks_nothing(
    tmp_path: Path, tags: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = new_store(tmp_path)
    foreign(Store(uri), tags)
    registry = Registry(uri, Ledger(tmp_path / "ledger.jsonl"), time.time)
    assert registry.versions("tiny") == []
    assert "version 1 of tiny, its champion, is no package that Edgewise registered" in trouble(registry)


def trouble(registry: Registry) -> str:
    with ChampionWatch(registry, "tiny", every_s=0.05) as watch:
        eventually(lambda: watch.look is not None, "it looked")
        assert watch.look is not None
        assert watch.look.champion is None
        return watch.look.trouble


def test_what_stands_in_place_of_a_champion_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry(new_store(tmp_path), Ledger(tmp_path / "ledger.jsonl"), time.time)
    assert "the registry has no model tiny; run `edgewise registry register" in trouble(registry)
    registry.register(tiny(1))
    assert trouble(registry) == "tiny has no champion yet; run `edgewise registry promote tiny RELEASE`."


def test_a_registry_that_is_away_is_said_once_and_asked_again(following: Following) -> None:
    following.promote(tiny(1))
    eventually(lambda: following.store.followed("tiny", "lab"), "it was there", following.turn)
    with contextlib.closing(
        sqlite3.connect(following.uri.removeprefix("sqlite:///"), isolation_level=None)
    ) as database:
        database.execute("ALTER TABLE registered_models RENAME TO gone")
        following.until_said("the champion of tiny is not rolled out to group lab: the registry")
        following.after_looks()
        assert len(following.told()) == 1
        database.execute("ALTER TABLE gone RENAME TO registered_models")
    following.promote(tiny(2))
    following.until_said("lab-1 rolls it out")


def test_a_server_that_does_not_answer_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    registry = Registry("http://127.0.0.1:1", Ledger(Path("l")), time.time, asked_again=True)
    said = trouble(registry)
    assert "the registry http://127.0.0.1:1" in said
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def tampered(registry: Registry, version: Version, folder: Path, package: ModelPackage) -> None:
    (path,) = folder.glob(f"mlruns/*/{version.run}/artifacts/package/*.ewm")
    path.write_bytes(packages.write(package))
    assert registry.standing_champion("tiny") == version


def test_a_package_that_was_exchanged_in_the_registry_is_not_released(following: Following, tmp_path: Path) -> None:
    following.promote(numbered(3))
    tampered(following.registry, following.registry.get("tiny", 3), tmp_path, numbered(4))
    following.until_said("is not the package that was registered as tiny 3")
    with pytest.raises(UsageError, match="tiny 3 is not released"):
        following.fleet.side.releases.find("tiny", 3)
    assert following.rollouts() == []


def served_side(side: Side, *options: str, **environment: str) -> subprocess.Popen[str]:
    script = "import sys\nfrom edge_fleet.rollout import controller, follow\ncontroller.JUDGE_EVERY_S = 0.05\n"
    script += "follow.GATHER_S = 1.0\nfrom edge_fleet.cli import main\n"
    script += f"sys.argv = ['edgewise', 'fleet', 'serve', *{options!r}]\nmain()\n"
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | side.environment | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_serve_follows_and_a_signed_webhook_wakes_it(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    side = Side(tmp_path, broker.port)
    uri = new_store(tmp_path)
    registry = Registry(uri, Ledger(tmp_path / "ledger.jsonl"), time.time)
    registry.register(tiny(1))
    registry.promote("tiny", 1)
    registry.register(tiny(2))
    options = ("--follow", "tiny", "--group", "lab", "--plan", str(side.plan), "--webhook", "127.0.0.1:0")
    with with_devices(side, "takes it"):
        process = served_side(side, *options, MLFLOW_TRACKING_URI=uri, EDGEWISE_WEBHOOK_SECRET=SECRET)
        try:
            assert process.stderr is not None
            address = next(line for line in process.stderr if "webhooks come to" in line).split()[-1].rstrip(".")
            eventually(lambda: is_served(side.directory), "it serves")
            with RolloutStore(side.directory) as store:
                eventually(lambda: store.followed("tiny", "lab"), "it looked")
                registry.promote("tiny", 2)
                one = signed(b"{}", at=time.time(), key=SECRET.encode())
                assert httpx.post(address, content=b"{}", headers=headers(one), timeout=10).status_code == 204
                # The next look by itself would be half a minute later.
                assert any("tiny 2 became champion: lab-1" in line for line in process.stderr)
                assert [state.by for state in store.all()] == [follow.BY]
            assert "fleet serve --follow" in side("rollout", "history")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert SECRET not in json.dumps(side.status("lab-1"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--group", "lab"), "--group belong to --follow; add --follow MODEL"),
        (("--plan", "p", "--webhook", "1"), "--plan and --webhook belong to --follow"),
        (("--follow", "tiny"), "--follow rolls out to one group; name it with --group"),
        (("--follow", "tiny", "--group", "lab", "--webhook", "0.0.0.0:1"), "--webhook-exposed"),
        (("--follow", "tiny", "--group", "lab", "--webhook", "9109"), "a webhook needs its secret"),
        (("--follow", "tiny", "--group", "lab", "--webhook-exposed"), "is about --webhook"),
        (("--follow", "tiny", "--group", "Lab"), "group 'Lab' is not usable"),
        (("--follow", "Tiny", "--group", "lab"), "model 'Tiny' is not usable"),
        (("--follow", "tiny", "--group", "lab", "--registry", "file:mlruns"), "is no registry"),
        (("--follow", "tiny", "--group", "lab", "--plan", "/nowhere/plan"), "/nowhere/plan"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_begins(
    tmp_path: Path, options: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEWISE_WEBHOOK_SECRET", raising=False)
    side = Side.__new__(Side)
    side.environment = {"EDGEWISE_REPOSITORY": str(tmp_path / "none"), "EDGEWISE_BROKER": "mqtt://127.0.0.1:1"}
    error = side.run("fleet", "serve", *options).exception
    assert words in str(error)
    assert not (tmp_path / "none").exists()
