"""What is given to `make` reaches the command letter for letter: nothing of it is run, split or expanded."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"
HOSTILE = ["it's mine", "two words", "a;touch ran", "'; touch ran; '", '"; touch ran; "', "$(touch ran)", "`touch ran`",
           "$(shell touch ran)", "$HOME", "$$HOME", "a#b", "*", "back\\slash", "ends\\", "ü/ß", "%", "-n"]  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `python` that says its arguments instead of running."""
    folder = tmp_path_factory.mktemp("make")
    python = folder / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps([*sys.argv[1:], *filter(None, [os.environ.get('BASE')])]))\n"
        "sys.exit('convert.checkout' in sys.argv)\n"
    )
    python.chmod(0o755)
    for name in ("bin/mlflow", "deploy/arm64/image.sh", "deploy/arm64/test.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(python)
    return folder


def said(bench: Path, target: str, *given: str, **environment: str) -> list[str]:
    made = ("-o", "setup", "-o", "setup-dev", "-o", "setup-tflite")
    # Without what the `make` that runs these tests hands down: its flags say what this one prints.
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "-f", str(MAKEFILE), *made, f"PYTHON={bench / 'python'}", f"VENV={bench}", target, *given],
        cwd=bench, env=mine | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[0])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_source_of_any_name_is_one_argument(bench: Path, text: str) -> None:
    wanted = ["-m", "train.prepare", "--source", text, "--ferplus", text, "--remember"]
    assert said(bench, "data", f"SOURCE={text}", f"FERPLUS={text}") == wanted
    assert said(bench, "data", SOURCE=text, FERPLUS=text) == wanted
    assert said(bench, "evaluate", f"MODEL={text}") == ["-m", "train.evaluate", "--model", text]
    assert said(bench, "demo", f"CAMERA={text}") == ["-m", "demo", "--camera", text]
    assert not (bench / "ran").exists()


PYTEST = ["-m", "pytest", "-n", "4", "--dist", "loadgroup"]


@pytest.mark.parametrize("text", HOSTILE)
def test_every_other_variable_is_one_argument_too(bench: Path, text: str) -> None:
    python = str(bench / "python")
    assert said(bench, "demo", f"DEMO_SECONDS={text}") == ["-m", "demo", "--seconds", text]
    assert said(bench, "runs", f"PORT={text}")[:5] == ["ui", "--workers", "1", "--port", text]
    assert said(bench, "bench-agent", f"MINUTES={text}") == ["-m", "benchmarks.agent", "--minutes", text]
    assert said(bench, "test-slow", f"WORKERS={text}")[3] == text
    assert said(bench, "image-arm64", f"BASE={text}") == [python, "build/arm64", text]
    assert not (bench / "ran").exists()


@pytest.mark.parametrize("text", HOSTILE)
def test_tests_are_split_at_spaces_alone(bench: Path, text: str) -> None:
    words = text.split()
    assert said(bench, "test", f"TESTS={text}") == [*PYTEST, *words]
    assert said(bench, "test", TESTS=text) == [*PYTEST, *words]
    assert said(bench, "test-slow", f"TESTS={text}") == [*PYTEST, "-m", "slow", "--ignore=tests/arm64", *words]
    assert said(bench, "test-arm64", f"TESTS={text}") == [str(bench / "python"), "build/arm64", *words]
    assert not (bench / "ran").exists()


def test_every_variable_that_the_list_of_targets_offers_is_handed_on_through_the_environment() -> None:
    text = MAKEFILE.read_text()
    (given,) = re.findall(r"^GIVEN := (.*)$", text, re.MULTILINE)
    offered = set(re.findall(r"\b([A-Z_]+)=", " ".join(re.findall(r"##.*", text))))
    assert offered <= set(given.split())
    recipes = re.sub(r"\$\(if \$\([A-Z_]+\),", "", text)  # that one is given decides; it is not pasted
    assert [name for name in given.split() if f"$({name})" in recipes] == []


@settings(max_examples=30)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_any_printable_text_is_one_argument(bench: Path, text: str) -> None:
    assert said(bench, "data", f"SOURCE={text}")[3] == text


def test_settings_are_split_at_spaces_alone(bench: Path) -> None:
    fit = ["-m", "train.fit", "--set-aside"]  # of a checkpoint of other settings, such as the pipeline's
    changes = ["epochs=40", "augment.mixup='0.2'", "name=$(touch", "ran)", "x=*"]
    wanted = [word for change in changes for word in ("--set", change)]
    assert said(bench, "train", f"SET={' '.join(changes)}") == [*fit, *wanted]
    assert said(bench, "train") == fit
    assert not (bench / "ran").exists()


@pytest.mark.parametrize("target", ["pipeline", "gate"])
def test_what_asks_every_runtime_installs_every_runtime(target: str) -> None:
    rule = next(line for line in MAKEFILE.read_text().splitlines() if line.startswith(f"{target}:"))
    assert {"setup", "setup-tflite"} <= set(rule.partition("##")[0].split())
