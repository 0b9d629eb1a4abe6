""".github/workflows and the Jenkinsfile: linted, least permissions, and the same make targets in the same order.

Jenkins itself is not run here: its file is read for its structure.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JENKINSFILE: Final = (ROOT / "Jenkinsfile").read_text()
BIN: Final = Path(sys.executable).parent
STEP: Final = re.compile(r'make (?:--silent )?([a-z0-9-]+)(?: >> "\$GITHUB_STEP_SUMMARY")?')
SAME: Final = {"ci": ["ci"], "train": ["train"], "release": ["build", "release"]}
"""Workflow, and its stages in the Jenkinsfile."""


def document(path: Path) -> Any:
    return yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - makes texts alone; `on` is one


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in document(path)["jobs"].values():
        yield from job["steps"]


def targets_of_workflow(path: Path) -> list[str]:
    """The make targets in order, each once; every command must be one."""
    found: list[str] = []
    for step in steps(path):
        if "run" in step:
            command = STEP.fullmatch(step["run"])
            assert command, f"{path.name}: `{step['run']}` is no make target"
            found += [command[1]] if command[1] not in found else []
    return found


def block(name: str) -> str:
    """The text of a stage of the Jenkinsfile, between its braces."""
    start = JENKINSFILE.index(f"stage('{name}') {{")
    depth = 0
    for at in range(start, len(JENKINSFILE)):
        depth += {"{": 1, "}": -1}.get(JENKINSFILE[at], 0)
        if depth == 0 and JENKINSFILE[at] == "}":
            return JENKINSFILE[start : at + 1]
    raise AssertionError(f"the stage {name} does not end")


def targets_of_jenkins(stages: list[str]) -> list[str]:
    found: list[str] = []
    for stage in stages:
        for command in re.findall(r"\bsh '([^']*)'", block(stage)):
            target = re.fullmatch(r"make (?:--silent )?([a-z0-9-]+)(?: > build/summary\.md)?", command)
            assert target, f"`{command}` is no make target"
            found += [target[1]] if target[1] not in found else []
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_both_pipelines_run_the_same_make_targets_in_the_same_order(path: Path) -> None:
    ours = targets_of_workflow(path)
    assert targets_of_jenkins(SAME[path.stem]) == ours
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in ours if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_the_pipelines_are_the_ones_that_are_compared() -> None:
    assert {path.stem for path in WORKFLOWS} == set(SAME)
    top = re.findall(r"^    stage\('(.*?)'\)", JENKINSFILE, re.MULTILINE)
    assert top == [stage for stages in SAME.values() for stage in stages]


def test_the_jenkinsfile_is_one_declarative_pipeline_whose_braces_and_quotes_close() -> None:
    """Not Jenkins' own parser, which needs Jenkins."""
    code = re.sub(r"(?<!:)//[^\n]*", "", JENKINSFILE)
    code = re.sub(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", "''", code)
    assert code.count("'") % 2 == 0
    assert '"' not in code
    depth: list[str] = []
    for sign in code:
        if sign in "({[":
            depth.append(sign)
        elif sign in ")}]":
            assert depth
            assert depth.pop() + sign in ("()", "{}", "[]")
    assert depth == []
    assert re.match(r"\s*pipeline \{", code)
    for section in ("agent none", "options {", "parameters {", "stages {"):
        assert section in code


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_zizmor_finds_nothing(path: Path) -> None:
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--color=never", "--persona=pedantic", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_fit_github_s_schema() -> None:
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing() -> None:
    if (actionlint := shutil.which("actionlint")) is None:
        pytest.skip("actionlint is not on PATH; it has no wheel with its program inside")
    done = subprocess.run([actionlint, "-no-color", *WORKFLOWS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_and_no_checkout_keeps_its_credentials(path: Path) -> None:
    for line in re.findall(r"uses: (.*)", path.read_text()):
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_may_read_the_repository_and_only_provenance_is_written(path: Path) -> None:
    found = document(path)
    assert found["permissions"] == {}
    for job in found["jobs"].values():
        written = {name for name, what in job["permissions"].items() if what != "read"}
        attests = any("attest-build-provenance" in step.get("uses", "") for step in job["steps"])
        assert written == ({"id-token", "attestations"} if attests else set())
        assert "timeout-minutes" in job


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_secret_reaches_a_command_line_or_a_job_that_nobody_protects(path: Path) -> None:
    for job in document(path)["jobs"].values():
        assert "secrets." not in str(job.get("env", {}))  # of one step at most
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            if "secrets." in str(step):
                assert "environment" in job
                assert "secrets." in str(step["env"])
    assert "set -x" not in JENKINSFILE


def test_a_person_is_asked_before_anything_is_signed_rolled_out_or_promoted() -> None:
    jobs = document(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    for name, job in jobs.items():
        if name != "build":
            assert job["environment"]
    for stage in ("sign", "rollout", "promote"):
        assert "input {" in block(stage)


def test_the_loop_finds_its_run_and_what_it_made() -> None:
    """By the run's name, the inputs' names, and the artifact `retrain` with result.json and the package."""
    train = document(ROOT / ".github" / "workflows" / "train.yml")
    assert train["run-name"] == "retrain ${{ inputs.run }}"
    assert list(train["on"]["workflow_dispatch"]["inputs"]) == ["cause", "field", "run"]
    (kept,) = [step for step in train["jobs"]["train"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert kept["with"]["name"] == "retrain"
    assert "result.json" in kept["with"]["path"]
    assert {"RETRAIN_CAUSE", "RETRAIN_FIELD", "RETRAIN_RUN"} <= set(re.findall(r"name: '(\w+)'", JENKINSFILE))


def test_the_wheel_and_the_bills_of_material_are_made_by_their_targets(tmp_path: Path) -> None:
    """In a copy of what they read."""
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    for name in re.findall(
        r'"(\w+)"', re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.M)[1]
    ):  # type: ignore[index]
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    make = ["make", "--silent", "-o", "setup", "-o", "setup-dev", f"VENV={BIN.parent}"]
    done = subprocess.run([*make, "wheel", "sbom"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {file.name for file in (tmp_path / "build" / "release").iterdir()}
    assert {"sbom-host.json", "sbom-edge.json"} < made
    assert any(name.endswith(".whl") for name in made)
    bill = yaml.safe_load((tmp_path / "build" / "release" / "sbom-edge.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"numpy", "paho-mqtt"} <= {part["name"] for part in bill["components"]}
