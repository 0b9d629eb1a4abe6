"""Which model answers: whatever goes wrong with a new one, the one that answers stays, and the next is looked for."""

import asyncio
import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_contract.errors import UsageError
from edge_contract.package import ModelPackage, read_file
from edge_serve.model.holder import ModelHolder

SECOND = Path(__file__).parents[1] / "fixtures" / "tiny-2.ewm"


class Offered:
    """A source that offers what it was given, one after the other; an error is raised."""

    def __init__(self, *given: ModelPackage | Exception | None) -> None:
        self._given: Iterator[ModelPackage | Exception | None] = iter(given)

    def newest(self) -> ModelPackage | None:
        found = next(self._given)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO), "/models"), "/models: the disk cannot be read or written"),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("odd"), "a new model could not be looked at (RuntimeError('odd'))."),
        (UsageError("it is none", remedy="name another"), "it is none; name another."),
    ],
)
def test_what_goes_wrong_with_a_new_model_costs_only_that_and_is_said_once(
    error: Exception, said: str, tiny: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    told: Counter[str] = Counter()
    holder = ModelHolder(
        Offered(tiny, error, error, None, read_file(SECOND)), [],
        serving=lambda manifest: told.update([f"{manifest.name} {manifest.release}"]),
        refused=lambda: told.update(["refused"]),
    )  # fmt: skip

    async def look(times: int) -> None:
        for _ in range(times):
            await holder.look()

    asyncio.run(look(3))
    assert holder.current is not None
    assert holder.current.manifest == tiny.manifest
    assert caplog.text.count("tiny 1 goes on answering") == 1
    assert said in caplog.text
    asyncio.run(look(2))
    holder.end()
    assert told == {"tiny 1": 1, "refused": 2, "tiny 2": 1}


def test_a_first_model_that_cannot_be_had_is_an_error() -> None:
    holder = ModelHolder(Offered(UsageError("it is none")), [], serving=lambda _: None, refused=lambda: None)
    with pytest.raises(UsageError, match="it is none"):
        asyncio.run(holder.look())
    holder.end()
