"""`edgewise loop`: what it prints, refuses and ends with, and that `serve` does what it says."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from edge_contract import topics
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.loop_status import LoopStatus
from edge_contract.messages import decode
from edge_fleet.link import Link
from edge_fleet.loop import settings as loop_settings
from edge_fleet.loop.settings import (
    LabelSettings,
    LimitSettings,
    RegistrySettings,
    RolloutSettings,
    TrainingSettings,
)
from edge_fleet.loop.store import LoopStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.eventually import eventually
from tests.fleet.commands.test_rollout import Side
from tests.fleet.loop.standing import answers_with
from tests.fleet.loop.test_alerts import body, one
from tests.fleet.loop.test_receiver import TOKEN

DOCS = Path(__file__).resolve().parents[3] / "docs" / "loop.md"
SETTINGS = """
model = "tiny"
group = "lab"
repository = "fleet"
listen = "127.0.0.1:0"
[broker]
url = "mqtt://127.0.0.1:{port}"
[limits]
gather_s = 0
lasting_hours = 0
[training]
command = ["{python}", "train.py"]
checkout = "checkout"
work = "runs"
"""


class Looped:
    """A release side with a loop beside it, by the command line."""

    def __init__(self, side: Side) -> None:
        self.side, self.config = side, side.folder / "loop.toml"
        self.config.write_text(SETTINGS.format(port=side.port, python=sys.executable))
        side.environment["EDGEWISE_LOOP_CONFIG"] = str(self.config)
        answers_with(side.folder, None, status=3, reasons=["it lost 3 points on the old data"])

    def __call__(self, *arguments: str) -> str:
        return self.side("loop", *arguments)

    def refuses(self, *arguments: str) -> EdgewiseError:
        return self.side.refuses("loop", *arguments)

    def would(self, *arguments: str) -> list[tuple[str, str]]:
        found = json.loads(self("run", "--dry-run", "--json", *arguments))["would"]
        return [(each["cause"], each["decision"]) for each in found]

    @contextmanager
    def served(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """`edgewise loop serve` in a process of its own, and where it listens."""
        script = "import sys\nfrom edge_fleet.commands import loop\nloop._TURN_S = 0.05\n"
        script += "from edge_fleet.cli import main\nsys.argv = ['edgewise', 'loop', 'serve']\nmain()\n"
        environment = os.environ | self.side.environment | {"EDGEWISE_LOOP_TOKEN": TOKEN}
        with subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                said = process.stderr.readline()
                found = re.search(r"takes alerts at (http://\S+)", said)
                assert found, said + process.stderr.read()
                yield process, found[1]
            finally:
                process.kill()

    def last(self) -> dict[str, object]:
        found: list[dict[str, object]] = json.loads(self("status", "--json"))["status"]["recent"]
        return found[0] if found else {}


@pytest.fixture
def looped(tmp_path: Path, broker: Broker) -> Looped:
    return Looped(Side(tmp_path, broker.port))


def test_serve_takes_an_alert_trains_is_killed_goes_on_and_shows_the_gates_reasons(
    looped: Looped, broker: Broker
) -> None:
    checkout = looped.side.folder / "checkout"
    program = (checkout / "train.py").read_text()
    waits = "import os, time\nopen('began', 'a').write('x')\nwhile not os.path.exists('go'):\n    time.sleep(0.05)\n"
    (checkout / "train.py").write_text(waits + program)
    looped("accept", "cam-1", "dark")
    alert = body(one(model="tiny-1"))
    with looped.served() as (process, url):
        assert httpx.post(url, content=alert, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert httpx.post(url, content=alert, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 204
        eventually((checkout / "began").exists, "it trains")
        looped.side.environment["EDGEWISE_LOOP_TOKEN"] = TOKEN
        assert "another `edgewise loop serve` works on" in str(looped.refuses("serve"))
        process.send_signal(signal.SIGKILL)
        process.wait()
    (checkout / "go").touch()
    with looped.served():
        eventually(lambda: looped.last().get("phase") == "refused", "the gate refused it")
        with Link(BrokerAddress(port=broker.port)) as link:

            def shown() -> bool:
                held = link.retained(topics.loop_status("tiny")).values()
                return any(decode(each, LoopStatus).recent[:1] for each in held)

            eventually(shown, "how it stands is retained")
    assert (checkout / "began").read_text() == "x"
    history = looped("history")
    for text in ("attempt: The training begins.", "refused: The gate refused it: it lost 3 points on the old data."):
        assert text in history
    assert TOKEN not in history
    assert "1 of 2 trainings may still begin this week; the cooldown ends at" in looped("status")


def test_a_dry_run_says_what_would_be_decided_and_keeps_nothing(looped: Looped) -> None:
    assert looped.would("--cause", "turned", "--device", "cam-1") == [("turned", "tell")]
    assert looped.would("--cause", "dark", "--device", "cam-1") == [("dark", "tell")]
    looped("accept", "cam-1", "dark")
    assert looped.would("--cause", "dark", "--device", "cam-1") == [("dark", "retrain-augmented")]
    assert looped.would("--cause", "answers", "--device", "cam-1") == [("answers", "ask-labels")]
    file = looped.side.folder / "notification.json"
    file.write_bytes(
        body(one(model="tiny-1"), one(model="tiny-1", cause="turned", device="cam-2", fingerprint="a" * 16))
    )
    assert looped.would("--alert", str(file)) == [("turned", "tell"), ("dark", "retrain-augmented")]
    assert "A training would begin." in looped("run", "--dry-run", "--alert", str(file))
    with LoopStore(looped.side.directory) as store:
        assert store.firing("tiny", time.time()) == []
        assert store.state("tiny").sequence == 0


def test_an_alert_by_hand_waits_for_serve(looped: Looped) -> None:
    assert "1 alerts are given to the loop" in looped("run", "--cause", "fleet")
    with LoopStore(looped.side.directory) as store:
        (firing,) = store.firing("tiny", time.time())
    assert (firing.alert.name, firing.alert.model, firing.by_hand) == ("FleetDrift", "tiny-1", True)


def test_a_pause_and_what_was_accepted_are_shown_and_taken_back(looped: Looped) -> None:
    looped("pause", "--reason", "stocktaking")
    looped("accept", "all", "unknown")
    shown = looped("status")
    assert "stocktaking" in shown
    assert "Accepted: unknown on all" in shown
    assert "2 of 2 trainings may still begin this week." in shown
    assert "it is paused already" in str(looped.refuses("pause"))
    looped("resume")
    looped("accept", "all", "unknown", "--take-back")
    assert "unknown" not in looped("status")
    actions = [line["action"] for line in json.loads(looped("history", "--json"))["ledger"]]
    assert actions == ["pause", "accept", "resume", "take-back"]


WRONG: tuple[tuple[tuple[str, ...], str], ...] = (
    (("status",), "no loop has run in"),
    (("accept", "cam-1", "turned"), "turned needs a person at the camera, and is never trained for"),
    (("accept", "cam-1", "answers"), "answers is nothing to accept"),
    (("accept", "cam-1", "fleet"), "edgewise loop accept all fleet"),
    (("accept", "Cam 1", "dark"), "device"),
    (("accept", "cam-1", "dark", "--take-back"), "it was not accepted"),
    (("resume",), "it is not paused"),
    (("stop",), "no run is under way"),
    (("run",), "give --alert FILE or --cause CAUSE"),
    (("run", "--cause", "dark"), "name it with --device"),
    (("run", "--cause", "fog", "--device", "cam-1"), "fog is no cause"),
    (("run", "--cause", "dark", "--device", "Cam 1"), "check --device"),
    (("run", "--alert", "/dev/null"), "it is no notification of Alertmanager"),
    (("status", "--config", "nowhere.toml"), "cannot be read"),
)


def test_what_cannot_be_is_a_sentence(looped: Looped) -> None:
    for arguments, text in WRONG:
        assert text in str(looped.refuses(*arguments)), arguments


def test_the_settings_on_the_page_are_the_defaults(tmp_path: Path) -> None:
    text = re.search(r"```toml\n# loop.toml.*?\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert text is not None
    file = tmp_path / "loop.toml"
    file.write_text(text[1])
    shown = loop_settings.read(file, {})
    file.write_text('model = "emotion"\ngroup = "shops"\n')
    assert shown == loop_settings.read(file, {}), "what is shown as a default"
    written = set(re.findall(r"^(?:# )?(\w+) = ", text[1], re.MULTILINE))
    for section in (LimitSettings, LabelSettings, TrainingSettings, RolloutSettings, RegistrySettings):
        assert {field.name for field in dataclasses.fields(section)} <= written


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('gate = "lower"', "gate is no setting"),
        ("[limits]\ntrainings_per_week = -1", "limits.trainings_per_week must be a whole number of at least 0"),
        ('token = "in the file"', "token does not belong in a file"),
        ('[github]\ntoken = "x"', "github.token does not belong in a file"),
        ('listen = "0.0.0.0:9110"', "can be reached from other machines"),
        ('[training]\naction = "github"', "github.repository names no repository"),
        ('[training]\naction = "jenkins"', "jenkins.url and jenkins.user are needed"),
        ('[jenkins]\nurl = "http://user:pw@x"', "jenkins.url must be an address"),
        ("[training]\ncommand = []", "training.command"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "loop.toml"
    file.write_text(f'model = "tiny"\ngroup = "lab"\n{text}\n')
    with pytest.raises(UsageError, match=re.escape(problem)):
        loop_settings.read(file, {})


def test_a_short_token_is_refused_and_none_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "loop.toml"
    file.write_text('model = "tiny"\ngroup = "lab"\n')
    with pytest.raises(UsageError, match="fewer than 16 characters"):
        loop_settings.read(file, {"EDGEWISE_LOOP_TOKEN": "short"})
    secrets = {
        "EDGEWISE_LOOP_TOKEN": TOKEN,
        "EDGEWISE_GITHUB_TOKEN": "of-github",
        "EDGEWISE_JENKINS_TOKEN": "of-jenkins",
    }
    found = loop_settings.read(file, secrets)
    assert (found.token, found.github.token, found.jenkins.token) == tuple(secrets.values())
    assert not any(secret in repr(found) for secret in secrets.values())
