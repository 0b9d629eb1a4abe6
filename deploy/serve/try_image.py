"""Run the image that was built as a cloud would, and ask it: on a read-only root, as its own user, as process 1.

    try_image.py docker IMAGE
    try_image.py buildah CONTAINER    (with $BUILDAH, the command that reaches its store; as root)

What starts it, and what its health check is, is read from the image. It has to become healthy by that check, answer
a known input as its package says and a photograph with a face, and end with 0 at SIGTERM. Exit status 1 and a sentence
otherwise.
"""

import argparse
import contextlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import httpx
import numpy as np
import psutil
from skimage.data import astronaut  # a public-domain portrait

from deploy.arm64.processors import CORTEX_A72
from edge_contract.package import read_file
from edge_simulator.broker import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "models" / "emotion-5.ewm"
MODEL: Final = "/opt/ml/model"
PATIENCE_S: Final = 180.0  # an emulated processor takes one of them to import NumPy and OpenCV
END_S: Final = 30.0  # what SageMaker gives
_MOUNTS: Final = """
set -e
root=$1 model=$2 board=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
# LiteRT reads there which kernels the processor can run; an emulated one is another than this machine's.
if [ -e "$board/cpuinfo" ]; then
  mount --bind "$board/cpuinfo" "$root/proc/cpuinfo"
  mount --bind "$board/sys" "$root/sys"
else
  mount --rbind /sys "$root/sys"
fi
mount --bind "$model" "$root/opt/ml/model"
mount -o remount,bind,ro "$root/opt/ml/model"
mount -o remount,bind,ro "$root"
exec chroot "$@"
"""


class WrongError(Exception):
    """The image does not do what it is for."""


class Started(Protocol):
    """A container."""

    address: str

    def healthy(self) -> bool:
        """Its health check says so.

        Raises:
            WrongError: it has ended.
        """
        ...

    def stop(self) -> int:
        """Told to end; its exit status."""
        ...


class Docker:
    """By docker."""

    def __init__(self, image: str, model: Path) -> None:
        """Started."""
        command = ["run", "--detach", "--read-only", "--cap-drop", "ALL", "--publish", "127.0.0.1::8080"]
        self._id = _said("docker", *command, "--volume", f"{model}:{MODEL}:ro", image)
        self.address = "http://" + _said("docker", "port", self._id, "8080/tcp").splitlines()[0]

    def healthy(self) -> bool:
        state = json.loads(_said("docker", "inspect", "--format", "{{json .State}}", self._id))
        if not state["Running"]:
            log = _said("sh", "-c", 'docker logs "$0" 2>&1', self._id)
            raise WrongError(f"it ended with {state['ExitCode']}: {log[-500:]}")
        return bool(state["Health"]["Status"] == "healthy")

    def stop(self) -> int:
        _said("docker", "stop", "--time", f"{END_S:.0f}", self._id)
        return int(_said("docker", "wait", self._id))

    def close(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            _said("docker", "rm", "--force", self._id)


class Chroot:
    """By hand, where there is no docker: the same root, user, variables, and namespaces for mounts and processes."""

    def __init__(self, container: str, model: Path, board: Path) -> None:
        """Started; `board` is an empty folder, for what an emulated processor says of itself."""
        self._tool = shlex.split(os.environ.get("BUILDAH", "buildah"))
        image: dict[str, Any] = json.loads(_said(*self._tool, "inspect", container))["Docker"]
        config = image["config"]
        if image["architecture"] == "arm64" and platform.machine() != "aarch64":
            (board / "cpuinfo").write_text(CORTEX_A72.cpuinfo())
            CORTEX_A72.write_cores(board / "sys")
        root = _said(*self._tool, "mount", container)
        self._user, _, self._group = config["User"].partition(":")
        self._check: list[str] = config["Healthcheck"]["Test"][1:]
        port = free_port()
        variables = dict(each.split("=", 1) for each in config["Env"])
        self._environment = {**variables, "SAGEMAKER_BIND_TO_PORT": str(port), "QEMU_CPU": CORTEX_A72.name}
        self._log = Path(tempfile.mkstemp(prefix="edgewise-image-")[1])
        self.address = f"http://127.0.0.1:{port}"
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", _MOUNTS, "bash"]
        inside = ["env", "-C", config["WorkingDir"], *config["Entrypoint"], *config["Cmd"]]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*namespaces, root, str(model), str(board), f"--userspec={config['User']}", root, *inside],
                env={"PATH": os.environ["PATH"], **self._environment},
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def healthy(self) -> bool:
        if self._process.poll() is not None:
            raise WrongError(f"it ended with {self._process.returncode}: {self._log.read_text()[-500:]}")
        inside = self._inside()
        if inside is None:
            return False
        enter = ["nsenter", "--target", str(inside.pid), "--mount", "--pid", "--root", "--wd", "--setgid", self._group]
        done = subprocess.run(
            [*enter, "--setuid", self._user, *self._check], check=False, capture_output=True, env=self._environment,
            timeout=PATIENCE_S,
        )  # fmt: skip
        return done.returncode == 0

    def stop(self) -> int:
        inside = self._inside()
        if inside is None:
            raise WrongError("it has ended")
        if {int(self._user)} != set(inside.uids()):
            raise WrongError(f"it runs as {inside.uids()}, not as {self._user}")
        inside.send_signal(signal.SIGTERM)
        return self._process.wait(END_S)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._log.unlink()

    def _inside(self) -> psutil.Process | None:
        """Process 1 of the container, once it is the server."""
        children = psutil.Process(self._process.pid).children()
        return children[0] if children and int(self._user) in children[0].uids() else None


def main() -> int:
    """Exit status 0 and a line of what was shown."""
    parser = argparse.ArgumentParser(description="Run the server's image and ask it.")
    parser.add_argument("tool", choices=("docker", "buildah"))
    parser.add_argument("image", help="an image of docker's, or a container of buildah's")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewise-image-") as name:
        folder = Path(name)
        model, board = folder / "model", folder / "board"
        for each in (folder, model, board):
            each.mkdir(exist_ok=True)
            each.chmod(0o755)
        shutil.copy(PACKAGE, model / "model.ewm")
        (model / "model.ewm").chmod(0o644)
        try:
            with contextlib.closing(_start(given.tool, given.image, model, board)) as started:
                seconds = _until_healthy(started)
                _ask(started.address)
                if (status := started.stop()) != 0:
                    raise WrongError(f"it ended with {status} at SIGTERM")
        except (WrongError, subprocess.SubprocessError, psutil.Error, httpx.HTTPError) as error:
            print(f"{given.image}: {error}", file=sys.stderr)  # noqa: T201  # a command
            return 1
    print(  # noqa: T201  # a command
        f"· healthy after {seconds:.0f} s on a read-only root as its own user; two requests answered; ended with 0"
    )
    return 0


def _start(tool: str, image: str, model: Path, board: Path) -> "Docker | Chroot":
    return Docker(image, model) if tool == "docker" else Chroot(image, model, board)


def _until_healthy(started: Started) -> float:
    began = time.monotonic()
    while not started.healthy():
        if time.monotonic() - began > PATIENCE_S:
            raise WrongError(f"its health check did not pass within {PATIENCE_S:.0f} s")
        time.sleep(0.5)
    return time.monotonic() - began


def _ask(address: str) -> None:
    """The first of the model's known inputs, whose answer its package says, and a photograph."""
    manifest = read_file(PACKAGE).manifest
    golden = manifest.goldens[0]
    pixels = list(golden.pixels(int(np.prod(manifest.input.shape))))
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(manifest.input.shape), "data": pixels}
    found = httpx.post(f"{address}/v2/models/{manifest.name}/infer", json={"inputs": [tensor]}, timeout=PATIENCE_S)
    if found.status_code != 200:
        raise WrongError(f"a picture was answered with {found.status_code}: {found.text[:300]}")
    known = (np.asarray(golden.output) - manifest.output.zero_point) * manifest.output.scale
    off = float(np.abs(np.asarray(found.json()["outputs"][0]["data"]) - known).max())
    if not off <= 1.5 * manifest.output.scale:
        raise WrongError(f"a known input was answered {off:.3f} beside its answer")
    photograph = cv2.imencode(".jpg", np.ascontiguousarray(astronaut()[:, :, ::-1]))[1].tobytes()
    found = httpx.post(
        f"{address}/v1/photographs", content=photograph, headers={"Content-Type": "image/jpeg"}, timeout=PATIENCE_S
    )
    if found.status_code != 200 or not found.json()["faces"]:
        raise WrongError(f"a photograph with a face was answered with {found.status_code}: {found.text[:300]}")


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
