"""One training on several processes of one machine: each takes its share of every batch, and gradients are averaged.

Threads inside one process wait for each other at each of a step's several hundred small operations; processes meet
once a step. On PyTorch only (gloo over the loopback interface). The leader is the process that was started; it alone
scores, saves and shows progress. Helpers end with it, however it ends.
"""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from edge_contract.errors import UsageError
from train.loop.errors import HelperLostError


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of one training, seen from one of them; rank 0 leads."""

    rank: int = 0
    size: int = 1

    def share(self, rows: Any) -> Any:
        """This process' rows of a batch: every `size`-th, beginning with its rank."""
        return rows[self.rank :: self.size]

    def equalise(self, variables: list[Any]) -> None:
        """Give every process the leader's values."""
        if self.size == 1:
            return
        import torch  # noqa: PLC0415 - only where PyTorch is the backend

        with torch.no_grad():
            for variable in variables:
                torch.distributed.broadcast(variable.value, src=0)

    @contextlib.contextmanager
    def leader_alone(self) -> Iterator[None]:
        """While the helpers wait, the leader may use their cores."""
        if self.size == 1:
            yield
            return
        import torch  # noqa: PLC0415 - only where PyTorch is the backend

        own = torch.get_num_threads()
        torch.set_num_threads(own * self.size)
        try:
            yield
        finally:
            torch.set_num_threads(own)

    def share_gradients(self, optimizer: Any) -> None:
        """From now on `optimizer` applies the mean of all processes' gradients."""
        if self.size == 1:
            return
        import torch  # noqa: PLC0415 - only where PyTorch is the backend

        apply_own = optimizer.apply

        def apply(gradients: list[Any], variables: list[Any] | None = None) -> None:
            # One message instead of one for each of a hundred variables.
            joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
            try:
                torch.distributed.all_reduce(joined)
            except RuntimeError as error:
                raise HelperLostError(
                    "a process of this training ended before the others (out of memory?)",
                    remedy="run the same command again, which goes on from the last whole epoch",
                ) from error
            joined /= self.size
            parts = torch.split(joined, [gradient.numel() for gradient in gradients])
            means = [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
            apply_own(means, variables)

        optimizer.apply = apply


@contextlib.contextmanager
def gathered(size: int, help_with: Callable[..., None], *arguments: Any) -> Iterator[Team]:
    """A team of `size` led by this process; each helper runs `help_with(team, *arguments)` in a process of its own.

    A process that waits half an hour for another gives up: gloo's own limit.

    Raises:
        UsageError: The backend is not PyTorch, or there are more processes than cores.
    """
    if size == 1:
        yield Team()
        return
    if keras.backend.backend() != "torch":
        raise UsageError(
            f"train.processes is {size}, which needs KERAS_BACKEND=torch",
            remedy=f"set it to 1 here: {keras.backend.backend()} spreads over cores by itself",
        )
    if size > (os.cpu_count() or 1):
        raise UsageError(f"train.processes is {size} on {os.cpu_count()} cores", remedy=f"set {os.cpu_count()} or less")
    import torch.distributed  # noqa: PLC0415 - only where PyTorch is the backend
    import torch.multiprocessing  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="edgewise-train-") as folder:
        meeting = f"file://{folder}/meeting"
        context = torch.multiprocessing.get_context("spawn")
        helpers = [
            context.Process(target=_helper, args=(Team(rank, size), meeting, help_with, arguments), daemon=True)
            for rank in range(1, size)
        ]
        for helper in helpers:
            helper.start()
        try:
            _join(Team(0, size), meeting)
            yield Team(0, size)
        finally:
            for helper in helpers:
                helper.kill()
            for helper in helpers:
                helper.join()
            if torch.distributed.is_initialized():  # else it is the joining that failed, and has its own error
                torch.distributed.destroy_process_group()


def _join(team: Team, meeting: str) -> None:
    import torch  # noqa: PLC0415 - only where PyTorch is the backend

    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else gloo listens on the address of the host's name
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=team.rank, world_size=team.size)


def _helper(team: Team, meeting: str, help_with: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # A terminal's Ctrl-C and a service manager's SIGTERM reach the whole group, and the leader alone handles them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _join(team, meeting)
    # The leader has ended, with an error of its own.
    with contextlib.suppress(HelperLostError):
        help_with(team, *arguments)
