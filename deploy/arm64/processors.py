"""The processors of the boards that are emulated. With the host's /proc/cpuinfo or /sys LiteRT crashes there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORES: Final = 4


@dataclass(frozen=True, slots=True)
class Processor:
    """What the kernel of a board says of its cores; XNNPACK chooses its kernels by it."""

    name: str
    """QEMU's name. Always pinned: QEMU's default, all features at once, answers wrongly with LiteRT's int8."""
    board: str
    features: str
    part: int
    variant: int
    revision: int

    def cpuinfo(self) -> str:
        """/proc/cpuinfo of the board."""
        core = (
            f"BogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant:#x}\nCPU part\t: {self.part:#x}\nCPU revision\t: {self.revision}\n\n"
        )
        return "".join(f"processor\t: {number}\n{core}" for number in range(CORES))

    @staticmethod
    def write_cores(sys: Path) -> None:
        """What LiteRT reads beneath /sys, in a folder that is to be mounted there."""
        folder = sys / "devices" / "system" / "cpu"
        folder.mkdir(parents=True, exist_ok=True)
        for which in ("possible", "present"):
            (folder / which).write_text(f"0-{CORES - 1}\n")


CORTEX_A72: Final = Processor("cortex-a72", "Raspberry Pi 4", "fp asimd evtstrm crc32 cpuid", 0xD08, 0x0, 3)
CORTEX_A76: Final = Processor(
    "cortex-a76",
    "Raspberry Pi 5",
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    0xD0B,
    0x4,
    1,
)
