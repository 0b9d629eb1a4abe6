"""The alerts say what they must, stand on series that exist, and fire and stay quiet as promtool's tests want."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml
from click import Command, Group

from docs import alerts
from edge_contract.metrics import DeviceCounter, DeviceGauge
from edge_fleet.cli import app

REPOSITORY: Final = Path(__file__).resolve().parents[2]
RULES: Final = sorted((REPOSITORY / "deploy" / "prometheus" / "rules").glob("*.yml"))
CASES: Final = sorted((REPOSITORY / "tests" / "deploy" / "rules").glob("*.yml"))
RUNBOOKS: Final = REPOSITORY / "docs" / "runbooks"
ADDRESS: Final = "https://github.com/edgewise-toolkit/edgewise/blob/main/docs/runbooks"


def _rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(file.read_text()) for file in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


ALERTS: Final = [rule for rule in _rules() if "alert" in rule]
LOOKS: Final = [yaml.safe_load(file.read_text())["tests"] for file in CASES]
NAMES: Final = sorted({rule["alert"] for rule in ALERTS})


def shown_by_the_bridge() -> set[str]:
    """Every name of a series that the bridge's modules write, and that devices send."""
    sources = (REPOSITORY / "edge_bridge" / "metrics").glob("*.py")
    names = {name for file in sources for name in re.findall(r'"(edgewise_[a-z0-9_]+)"', file.read_text())}
    names |= {each.series for table in (DeviceCounter, DeviceGauge) for each in table if each.series}
    return names | {f"{name}_total" for name in names}


def series_in(promql: str) -> set[str]:
    """Names of series of ours in an expression, a histogram's by its family; recorded ones have a colon."""
    found = re.findall(r"[a-z_:][a-zA-Z0-9_:]*edgewise_[a-zA-Z0-9_:]*|\bedgewise_[a-z0-9_]+", promql)
    return {re.sub(r"_(bucket|sum|count)$", "", name) if ":" not in name else name for name in found}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)")
def test_promtool_s_tests_make_each_alert_fire_and_stay_quiet() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", *CASES], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _expected(name: str) -> Iterator[tuple[bool, dict[str, str]]]:
    """Whether an alert is to fire, and with which labels, in every look of promtool's tests at it."""
    for tests in LOOKS:
        for test in tests:
            for look in test["promql_expr_test"]:
                watched = re.search(r'alertname=~?"([^"]+)"', look["expr"])
                if watched is None or name not in watched[1].split("|"):
                    continue
                labels = [dict(re.findall(r'(\w+)="([^"]*)"', each["labels"])) for each in look["exp_samples"] or []]
                yield from ((True, each) for each in labels)
                if not labels:
                    yield False, {}


@pytest.mark.parametrize("name", NAMES)
def test_promtool_looks_at_each_alert_when_it_fires_and_when_it_does_not(name: str) -> None:
    looked = [fires for fires, _ in _expected(name)]
    assert True in looked
    assert False in looked or name == "Watchdog"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_each_alert_has_its_severity_its_wait_its_sentences_and_its_runbook(rule: dict[str, Any]) -> None:
    name, notes = rule["alert"], rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert notes["summary"].endswith(".")
    assert notes["description"].endswith(".")
    assert len(notes["description"]) < 320
    assert notes["runbook_url"] == f"{ADDRESS}/{name}.md"
    # A label that the alert lacks would be an empty place in the sentence.
    used = set(re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["description"]))
    fired = [labels for fires, labels in _expected(name) if fires and labels["severity"] == rule["labels"]["severity"]]
    scraped = {"instance"} if "by (" not in rule["expr"] else set()  # every series has it, but not in promtool's tests
    assert fired
    assert all(used <= labels.keys() | scraped for labels in fired)
    if any("device" in labels for labels in fired):
        assert "{{ $labels.device }}" in notes["summary"]
        assert "site" in used or name == "DeviceIdShared"


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert sorted(file.stem for file in RUNBOOKS.glob("*.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_says_what_it_means_how_to_tell_what_to_do_and_what_else_it_may_be(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}: ")
    places = [text.index(part) for part in ("**How to tell.**", "**What to do", "**What else it may be.**")]
    assert places == sorted(places)
    assert places[0] > len(text.splitlines()[0]) + 40  # what it means stands first
    for linked in re.findall(r"\]\(([^)]+\.md)\)", text):
        assert (RUNBOOKS / linked).exists(), linked


def test_every_series_that_rules_and_runbooks_name_exists() -> None:
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    named = {name for rule in _rules() for name in series_in(rule["expr"])}
    named |= {name for file in RUNBOOKS.glob("*.md") for name in series_in(file.read_text())}
    known = shown_by_the_bridge()
    assert named - recorded - known == set()


def _commands_in(text: str) -> set[tuple[str, ...]]:
    """Commands of ours in inline code: the words before the first name, option or argument."""
    found = re.findall(r"`((?:edgewise|edgewise-agent|edgewise-bridge) [^`]+)`", text)
    return {tuple(re.match(r"[a-z -]+?(?= [A-Z{-]|$)", each + " -")[0].split()) for each in found}  # type: ignore[index]


def test_every_command_that_alerts_and_runbooks_name_exists() -> None:
    texts = [file.read_text() for file in RUNBOOKS.glob("*.md")]
    texts += [" ".join(rule["annotations"].values()) for rule in ALERTS]
    commands = set().union(*map(_commands_in, texts))
    assert len(commands) > 20
    release_side: Command = typer.main.get_command(app)
    agent = subprocess.run([_tool("edgewise-agent"), "--help"], capture_output=True, text=True, check=True).stdout
    for program, *words in sorted(commands):
        if program == "edgewise-agent":
            assert re.search(rf"^    {words[0]}\b", agent, re.MULTILINE), words
        elif program == "edgewise-bridge":
            assert words == ["run"]
        else:
            found = release_side
            for word in words:
                if not isinstance(found, Group):
                    break  # an argument
                assert word in found.commands, words
                found = found.commands[word]


def _tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def test_the_table_in_the_manual_is_in_step_with_the_rules() -> None:
    assert alerts.page() == alerts.PAGE.read_text(), "run: python -m docs.alerts"
