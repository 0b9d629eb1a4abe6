"""The first half: drawn faces through training, int8, gate, package and registry, each as a user's own command."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from demo.processes import tool
from demo.steps import Steps, run
from edge_contract.errors import ExitCode
from edge_contract.package import read_file

PARAMS: Final = "demo/params.yaml"
REAL_DATA: Final = Path("data")
CHAMPION: Final = Path("models/emotion-5.ewm")


class Pipeline:
    """Runs the stages of the pipeline with the demo's settings, under one folder."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        self._folder = folder
        self._steps = steps
        self._log = folder / "logs" / "pipeline.log"

    def train_and_register(self) -> None:
        """From nothing to a registered package; what an earlier run left is removed first.

        Raises:
            EdgewiseError: a stage failed; the text shows the end of its output.
        """
        for left in ("data", "train", "convert", "convert-real", "packages", "logs"):
            shutil.rmtree(self._folder / left, ignore_errors=True)
        for left in ("mlflow.db", "ledger.jsonl"):
            (self._folder / left).unlink(missing_ok=True)
        with self._steps.step("draw synthetic faces") as result:
            self._stage("train.prepare")
            counts = self._json("data/report.json")["counts"]
            result.text = (
                f"{sum(sum(split.values()) for split in counts.values())} faces of {len(counts['train'])} emotions"
            )
        with self._steps.step("train", shows_more=True) as result:
            self._stage("train.fit", show=True)
            result.text = f"{len(self._json('train/history.json'))} epochs of edge_cnn"
        with self._steps.step("quantize to int8") as result:
            self._quantize(self._folder / "data", self._converted)
            record = self._json("convert/quantize.json")
            result.text = f"{record['float_size'] / 1e6:.2f} MB float, {record['int8_size'] / 1e6:.2f} MB int8"
        with self._steps.step("gate") as result:
            self._gate(self._folder / "data", self._converted)
            result.text = "passed: int8 against float, known answers on every runtime, skew, latency"
        with self._steps.step("package") as result:
            run_file = str(self._folder / "train/result.json")
            self._stage("convert.package", "--folder", self._converted, "--run", run_file)
            package = self._folder / "packages" / "synthetic-1.ewm"
            result.text = f"{package} ({read_file(package).manifest.digest[:12]})"
        with self._steps.step("register") as result:
            store, ledger = f"sqlite:///{self._folder}/mlflow.db", str(self._folder / "ledger.jsonl")
            command = [tool("edgewise"), "registry", "register", str(package), "--registry", store, "--ledger", ledger]
            run([*command, "--json"], self._log)
            result.text = "challenger of `synthetic` in MLflow"
        if (REAL_DATA / "dataset.npz").exists():
            self._challenge_with_real_faces()

    def _challenge_with_real_faces(self) -> None:
        """The same network on the user's own data: the gate must refuse it beside the shipped champion."""
        with self._steps.step("gate on your real data") as result:
            converted = str(self._folder / "convert-real")
            self._quantize(REAL_DATA, converted)
            self._gate(REAL_DATA, converted, "--champion", str(CHAMPION), accept=(int(ExitCode.GATE_REFUSED),))
            result.text = "refused, as it must be: drawn faces teach nothing about real ones"

    @property
    def _converted(self) -> str:
        return str(self._folder / "convert")

    def _quantize(self, data: Path, out: str) -> None:
        network = str(self._folder / "train/model.keras")
        self._stage("convert.quantize", "--network", network, "--data", str(data / "dataset.npz"), "--out", out)

    def _gate(self, data: Path, folder: str, *more: str, accept: tuple[int, ...] = (0,)) -> None:
        history = str(self._folder / "train/history.json")
        given = ("--data", str(data / "dataset.npz"), "--report", str(data / "report.json"), "--history", history)
        self._stage("convert.gate", *given, "--folder", folder, *more, accept=accept)

    def _stage(self, module: str, *arguments: str, accept: tuple[int, ...] = (0,), show: bool = False) -> None:
        run([sys.executable, "-m", module, "--params", PARAMS, *arguments], self._log, accept=accept, show=show)

    def _json(self, name: str) -> Any:
        return json.loads((self._folder / name).read_text())
