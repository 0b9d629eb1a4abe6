"""Settings stand beneath the engines: reading them loads none."""

import subprocess
import sys

import pytest

ENGINES = {"keras", "tensorflow", "torch", "cv2", "mlflow", "matplotlib"}


@pytest.mark.parametrize("module", ["train.loop.settings", "train.scoring.settings", "convert.settings"])
def test_settings_load_no_framework(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not ENGINES & set(done.stdout.split())
