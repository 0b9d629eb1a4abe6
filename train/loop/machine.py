"""Fitting a training to the machine it runs on: threads, memory that is kept, and the machine's peak."""

import ctypes
import os
import platform
import sys
import time
from pathlib import Path

import keras
import numpy as np

# glibc's mallopt names (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Let the process keep the memory that it frees, where the C library has a setting for it (glibc).

    A step allocates the same large arrays again and again. Given back each time, their pages are zeroed again by the
    kernel: measured 25 % of all CPU time, 568 against 821 pictures a second.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_THRESHOLD, 2**30)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(_M_TOP_PAD, 2**26)


def limit_threads(threads: int) -> None:
    """Compute on at most so many threads; 0 changes nothing. Only PyTorch can change this after its import."""
    if threads and keras.backend.backend() == "torch":
        import torch  # noqa: PLC0415 - only where PyTorch is the backend

        torch.set_num_threads(threads)


def matmul_peak(precision: str, size: int = 1536, repeats: int = 8) -> float:
    """The backend's best GFLOP/s over square matrix products: the roof over any training step."""
    kind = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    rng = np.random.default_rng(0)
    a, b = (keras.ops.cast(rng.standard_normal((size, size), np.float32), kind) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        # Reading one number waits for asynchronous backends.
        float(keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.matmul(a, b)[0, 0], "float32")))
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def cpu_name() -> str:
    """The processor's own name where Linux has it, with the number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} x{os.cpu_count()}"
