"""An emulated board: a root folder made by deploy/arm64/device.sh, run in a chroot as one processor or another."""

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

from deploy.arm64.processors import Processor

REPOSITORY: Final = Path(__file__).resolve().parents[2]
BUILD: Final = REPOSITORY / "build" / "arm64"
SHIPPED: Final = sorted((REPOSITORY / "models").glob("*.ewm")) or sorted(
    (REPOSITORY / "tests" / "fixtures").glob("tiny-*.ewm")
)
"""The models to try, oldest first."""
RUNTIMES: Final = ("litert", "tflite")
_PACKAGES: Final = ("edge_agent", "edge_contract", "edge_mqtt", "edge_vision")
_COUNTERS: Final = 511  # words of the counts file that are threads (instructions.c)


_ENTER: Final = """
mount -t proc proc "$0/proc" && mount --bind "$0/etc/cpuinfo" "$0/proc/cpuinfo" && exec chroot "$0" "$@"
"""
"""In a mount namespace of its own, so nothing stays mounted. With the host's cpuinfo or /sys LiteRT crashes."""


class EmulatedDevice:
    """One board with one runtime; its /tmp is empty at first."""

    COUNTS: Final = "/tmp/counts"  # noqa: S108  # inside the device

    def __init__(self, runtime: str, processor: Processor) -> None:
        self.runtime = runtime
        self.processor = processor
        self.root = BUILD / f"device-{runtime}"
        shutil.rmtree(self.root / "tmp", ignore_errors=True)
        (self.root / "tmp").mkdir(mode=0o1777)
        (self.root / "etc" / "cpuinfo").write_text(processor.cpuinfo())
        processor.write_cores(self.root / "sys")

    @staticmethod
    def missing(runtime: str) -> str:
        """Why there is no such device with this checkout's code; empty when there is one."""
        device, skipped = BUILD / f"device-{runtime}", BUILD / "skipped"
        if os.geteuid() != 0:
            return "entering an emulated device needs root, for chroot"
        if skipped.exists():
            return skipped.read_text().strip()
        if not (device / "opt" / "emulator" / "libinstructions.so").exists():
            return "the emulated devices are not made; run: make test-arm64"
        installed = device / "usr" / "local" / "lib" / "python3.11" / "dist-packages"
        here = {
            file.relative_to(REPOSITORY): file.read_bytes()
            for name in _PACKAGES
            for file in (REPOSITORY / name).rglob("*.py")
        }
        there = {file: (installed / file).read_bytes() for file in here if (installed / file).exists()}
        return "" if here == there else "the emulated devices have other code than this checkout; run: make test-arm64"

    def put(self, file: Path) -> str:
        """Copy a file onto the device; its path there."""
        shutil.copy(file, self.root / "tmp" / file.name)
        return f"/tmp/{file.name}"  # noqa: S108

    def write(self, name: str, text: str) -> str:
        """Write a file on the device; its path there."""
        (self.root / "tmp" / name).write_text(text)
        return f"/tmp/{name}"  # noqa: S108

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs the device's Python, counting its instructions."""
        emulator = "/opt/emulator"
        return [
            *("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _ENTER, str(self.root)),
            f"{emulator}/ld-linux-x86-64.so.2",
            "--library-path",
            emulator,
            f"{emulator}/qemu-aarch64",
            "-plugin",
            f"{emulator}/libinstructions.so,counts={self.COUNTS}",
            "/usr/bin/python3.11",
            "-B",
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        """Nothing of the host's. One thread for linear algebra: the agent does none."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/tmp",  # noqa: S108
            "LC_ALL": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "QEMU_CPU": self.processor.name,
        }

    def python(self, *arguments: str, timeout: float = 300.0) -> str:
        """Run the device's Python to its end and return what it printed.

        Raises:
            AssertionError: it failed; the text is the end of what it said.
        """
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the device's Python; its stdout and stderr are pipes."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def instructions(self) -> int:
        """What the Python that ran last, or runs, has executed so far in all its threads."""
        words = (self.root / self.COUNTS.lstrip("/")).read_bytes()
        return sum(struct.unpack_from(f"<{_COUNTERS}Q", words))
