"""What parts of the agent load, and memory that starting needed and running does not.

A device's health check runs `status --check` every half minute, so what that loads is pinned by name.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.system.liveness import Liveness
from edge_contract.process_memory import Mapping, read_mappings

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).parents[1] / "fixtures" / "tiny-1.ewm"
SMAPS = """\
5600-5700 rw-p 00000000 00:00 0                                  [heap]
Rss:                   4 kB
Anonymous:             4 kB
7f0000000000-7f0000100000 r-xp 00001000 fe:01 1234               /usr/lib/a library.so.1
Rss:                 900 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
7f0000100000-7f0000102000 r--p 00101000 fe:01 1234               /usr/lib/a library.so.1
Anonymous:             8 kB
7f0000102000-7f0000103000 rw-s 00000000 fe:01 99                 /state/spool.db-shm
Anonymous:             0 kB
7f0000103000-7f0000104000 r--p 00000000 fe:01 98                 /usr/lib/locale/C.utf8/LC_CTYPE
"""

FORGET_AND_GO_ON = """
import json, sys
import cv2, numpy
from pathlib import Path
from edge_contract import process_memory
from edge_contract.package import read_file
from edge_vision import goldens
from edge_vision.classifier import Classifier

def resident(kind):
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind + ":"))

package = read_file(Path(sys.argv[1]))
classifier = Classifier(package.model, package.manifest, delegates=False)
process_memory.share_one_heap()
before = resident("Rss") - resident("Anonymous")
dropped = process_memory.forget_start_up()
after = resident("Rss") - resident("Anonymous")
right = goldens.check(classifier, package.manifest, goldens.EXACT).ok
size = cv2.resize(numpy.zeros((640, 480), numpy.uint8), (48, 48)).shape
print(json.dumps({"before": before, "after": after, "dropped": dropped, "right": right, "size": size}))
"""


def test_only_unchanged_pages_of_files_may_be_forgotten() -> None:
    found = list(read_mappings(SMAPS.splitlines()))
    assert found[1] == Mapping(0x7F0000000000, 0x7F0000100000, "r-xp", "/usr/lib/a library.so.1", 0)
    assert [mapping.rereadable for mapping in found] == [False, True, False, False, False]


def test_a_mapping_that_does_not_say_what_is_its_own_is_kept() -> None:
    assert list(read_mappings(SMAPS.splitlines()))[-1].own_kib == 4


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_what_starting_needed_is_forgotten_and_everything_still_answers() -> None:
    done = subprocess.run([sys.executable, "-c", FORGET_AND_GO_ON, TINY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["right"]
    assert found["size"] == [48, 48]
    assert found["dropped"] > 0
    assert found["after"] < found["before"] / 2


PICTURES = {"cv2", "numpy", "ai_edge_litert", "tflite_runtime"}
"""What is for frames and models alone: 40 MB and more."""
OF_OTHER_ROLES = {"tensorflow", "keras", "mlflow", "dvc", "prometheus_client", "pandas", "sqlalchemy", "typer"}

LOADED = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
        importlib.import_module(found.name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""

IMPORTED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""

CHECKED = """
import json, sys
before = set(sys.modules)
from edge_agent import cli
status = cli.main(["status", "--check", "--config", sys.argv[1]])
print(json.dumps([status, sorted(set(sys.modules) - before)]))
"""


def said_by(code: str, *arguments: str) -> Any:
    """What a Python process of its own prints, from JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "names",
    [
        ("edge_agent.settings", "edge_agent.settings_file"),
        ("edge_agent.mqtt", "edge_mqtt"),
        ("edge_agent.system",),
        tuple(f"edge_agent.{wing}.settings" for wing in ("camera", "inference", "sampling", "telemetry", "update")),
        ("edge_contract",),
    ],
    ids=lambda names: names[0],
)
def test_what_works_on_no_picture_loads_no_opencv_no_numpy_and_nothing_of_other_roles(names: tuple[str, ...]) -> None:
    loaded = {module.partition(".")[0] for module in said_by(LOADED, *names)}
    assert not loaded & (PICTURES | OF_OTHER_ROLES)


def test_an_agent_that_samples_nothing_loads_nothing_that_could_seal_a_picture() -> None:
    loaded = set(said_by(IMPORTED, "edge_agent.agent"))
    assert "edge_agent.inference.pipeline" in loaded
    assert not loaded & {"cryptography.hazmat.primitives.hpke", "edge_contract.crop", "edge_agent.sampling.sender"}


def test_a_health_check_loads_the_settings_and_the_lock_and_nothing_else(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'[device]\nstate_dir = "{tmp_path}"\n')
    running = Liveness(tmp_path)
    status, loaded = said_by(CHECKED, str(config))
    running.release()
    assert status == 0
    ours = {module for module in loaded if module.startswith("edge_agent.") and not module.endswith("settings")}
    wings = {
        f"edge_agent.{wing}" for wing in ("camera", "inference", "mqtt", "sampling", "system", "telemetry", "update")
    }
    assert ours - wings == {
        "edge_agent.cli", "edge_agent.settings_file", "edge_agent.system.liveness"
    }  # fmt: skip
    others = {module.partition(".")[0] for module in loaded} - sys.stdlib_module_names
    assert others <= {"edge_agent", "edge_contract", "edge_mqtt", "edge_vision", "msgspec", "typing_extensions"}
    assert not set(loaded) & {"asyncio", "email", "importlib.metadata", "logging", "socket", "sqlite3", "ssl"}
