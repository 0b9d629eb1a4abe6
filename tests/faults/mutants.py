"""The row of mutated models and manifests.

Half of them carry the signature of what they were mutated from, so their digests no longer hold: the parts that take
up a release must refuse every one. The other half are signed again, digest and size included, so nothing but the
self-test stands between them and the faces. Each of these is examined by the self-test's own code, in a forked process
with its limits; one that passes is run as the agent runs it, in another. A sample goes through the real child.
"""

import base64
import copy
import multiprocessing
import os
import pickle  # between a process and its own fork
import random
import select
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from edge_agent.models import selftest, selftest_child
from edge_agent.models.chunks import PartFile
from edge_agent.models.download import read_release
from edge_agent.models.selftest import Verdict
from edge_agent.models.slots import ActiveModel, Slots
from edge_contract import manifest as manifests
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import digest_of
from edge_contract.trust import Blob, Chunks, ListedRelease, Release, encode_release, pieces
from edge_vision.classifier import Classifier
from tests.agent.update.update_bench import tiny
from tests.faults.row import Row

_BATCH: Final = 125
_PATIENCE_S: Final = 20.0
_CPU_S: Final = 8
_WORDS: Final = (0, 1, 2, 4, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WRONG: Final = 0.1
"""A probability that is this much off from the model's own is a wrong answer."""
_PICTURES: Final = 24  # beside the goldens


class Found(NamedTuple):
    """What came of a batch."""

    figures: dict[str, int]
    wrong: list[str]


def mutants(count: int = 10_000, *, workers: int = 2, real: int = 100) -> Row:
    """The row. `real`: how many go through the real self-test child as well."""
    row = Row("mutated models and manifests")
    batches = [range(at, min(at + _BATCH, count)) for at in range(0, count, _BATCH)]
    through = count // max(1, real) | 1  # odd, so that it meets every way
    context = multiprocessing.get_context("forkserver")
    with row.timed(), ProcessPoolExecutor(workers, mp_context=context) as pool:
        row.figures.update(mutants=0, deaths=0, activated=0)
        for found in pool.map(_batch, batches, [through] * len(batches)):
            for what, number in found.figures.items():
                row.count(what, number)
            row.found.extend(found.wrong)
    return row


def _batch(numbers: range, through: int) -> Found:
    selftest_child.CPU_SECONDS = _CPU_S  # type: ignore[misc]
    selftest_child._MEASURED_S, selftest_child._RUNS = 0.0, 3  # type: ignore[misc]  # it is not the time that is tried
    found = Found({}, [])
    original = tiny(1)
    whole = ActiveModel(original.manifest, original.model, "release")
    right = answers(whole)
    for number in numbers:
        chance = random.Random(number)  # noqa: S311
        way = _WAYS[number % len(_WAYS)]
        _count(found, "mutants")
        try:
            wrong = way(whole, chance, found, right, number % through == 0)
        except EdgewiseError:
            _count(found, "refused")
            continue
        if wrong:
            found.wrong.append(f"mutant {number}: {wrong}")
    return found


Right = list[np.ndarray[Any, Any]]


def _unsigned_model(whole: ActiveModel, chance: random.Random, found: Found, right: Right, real: bool) -> str:
    """As it comes in chunks, and as it lies in a slot."""
    data = mutated(whole.model, chance)
    if data == whole.model:
        return ""
    with tempfile.TemporaryDirectory() as name:
        folder, held = Path(name), list(pieces(whole.model))
        blob = Blob(digest=whole.manifest.digest, size=len(whole.model), chunks=Chunks.of(whole.model))
        part = PartFile(folder, blob)
        for at, piece in enumerate(pieces(data) if data else ()):
            if at < len(held) and piece != held[at] and part.put(at, piece):
                return _activated(found, "a mutated chunk was taken")
        part.close()
        (folder / "file").write_bytes(data)
        Slots(folder).stage(folder / "file", whole.manifest)
    return _activated(found, "a mutated file was staged")


def _unsigned_manifest(whole: ActiveModel, chance: random.Random, found: Found, right: Right, real: bool) -> str:
    """The release file as it comes and the manifest in a slot."""
    signed = encode_release(Release(manifest=whole.manifest, chunks=Chunks.of(whole.model)))
    listed = ListedRelease(
        model=whole.manifest.digest, size=len(whole.model),
        file=Blob(digest=digest_of(signed), size=len(signed), chunks=Chunks.of(signed)),
    )  # fmt: skip
    data = mutated_json(signed, chance)
    if data == signed:
        return ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{listed.file.digest}.part").write_bytes(data)
        if read_release(folder, whole.manifest.ref, listed) is not None:
            return _activated(found, "a mutated release file was read")
        slots = Slots(folder)
        (folder / "file").write_bytes(whole.model)
        slot = slots.stage(folder / "file", whole.manifest)
        file = slots.path(slot) / "manifest.json"
        changed = mutated_json(file.read_bytes(), chance)
        if changed == file.read_bytes():
            return ""
        file.write_bytes(changed)
        slots.load(slot)
    return _activated(found, "a slot with a mutated manifest was loaded")


def _signed_model(whole: ActiveModel, chance: random.Random, found: Found, right: Right, real: bool) -> str:
    data = mutated_graph(whole.model, chance) if chance.random() < 0.6 else mutated(whole.model, chance)
    if not data or data == whole.model:
        return ""
    manifest = msgspec.structs.replace(whole.manifest, digest=digest_of(data), size=len(data))
    return _examined(ActiveModel(manifest, data, "release"), found, right, real)


def _signed_manifest(whole: ActiveModel, chance: random.Random, found: Found, right: Right, real: bool) -> str:
    """Signed as it is: what its reader takes is examined with the model that it names."""
    manifest = manifests.decode(mutated_json(manifests.encode(whole.manifest), chance))
    return _examined(ActiveModel(manifest, whole.model, "release"), found, right, real)


_WAYS: Final = (_unsigned_model, _signed_model, _unsigned_manifest, _signed_model, _signed_manifest, _signed_model,
                _unsigned_model, _signed_manifest)  # fmt: skip


def _examined(model: ActiveModel, found: Found, right: Right, real: bool) -> str:
    if model.manifest.digest != digest_of(model.model) or model.manifest.size != len(model.model):
        raise EdgewiseError("it never becomes a slot: the manifest names another model.")
    _count(found, "self_tests")
    ended, verdict = forked(lambda: selftest_child.examine(model))
    if real:
        _count(found, "by_the_real_child")
        ours = selftest.run_unstaged(model)
        if ours.passed and not (isinstance(verdict, Verdict) and verdict.passed):
            return f"the real child passed what its code does not: {verdict or ended}"
    if ended:
        _count(found, "stopped_by_their_own_child")
        return ""
    if not isinstance(verdict, Verdict) or not verdict.passed:
        _count(found, "failed_the_self_test")
        return ""
    _count(found, "passed_the_self_test")
    ended, answers = forked(lambda: answers(model))
    if ended:
        _count(found, "deaths")
        return f"it passed the self-test and ended the process that runs it ({ended})"
    if isinstance(answers, list):
        off = max(
            (float(np.abs(a - b).max()) if a.shape == b.shape else 1.0 for a, b in zip(answers, right, strict=True)),
            default=0.0,
        )
        if off > WRONG:
            return _activated(found, f"it passed the self-test and answers other pictures wrongly (by {off:.2f})")
    return ""


def _activated(found: Found, sentence: str) -> str:
    _count(found, "activated")
    return sentence


def answers(model: ActiveModel) -> Right:
    """Probabilities of pictures that are in no golden, as the pipeline runs it."""
    classifier = Classifier(model.model, model.manifest)
    chance, answers = np.random.default_rng(7), []
    for number in range(_PICTURES):
        low, high = sorted(chance.integers(0, 256, 2))
        picture = chance.integers(low, high + 1, (8, 8), np.uint8)
        side = classifier.input.shape[1:3]
        grown = np.kron(picture, np.ones((-(-side[0] // 8), -(-side[1] // 8)), np.uint8))[: side[0], : side[1]]
        classifier.input[...] = (grown if number % 2 else chance.integers(0, 256, side, np.uint8))[None, :, :, None]
        answers.append(classifier.classify(classifier.input))
    return answers


def forked(work: Callable[[], Any]) -> tuple[str, Any]:
    """How a fork that does this ended by itself, "" when well, and what came of it; an error in it is an outcome."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _in_fork(work, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], _PATIENCE_S)
        data = pipe.read() if ready else b""
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not ready:
        return "it did not end", None
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name, None
    return "", pickle.loads(data) if data else None  # noqa: S301


def _in_fork(work: Callable[[], Any], write: int) -> None:
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        selftest_child.limit_process(_CPU_S)
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001  # of the child's, as of the pipeline's: it is said and the rest goes on
            answer = f"{type(error).__name__}: {error}"
        os.write(write, pickle.dumps(answer))
    finally:
        os._exit(0)


def _count(found: Found, what: str, number: int = 1) -> None:
    found.figures[what] = found.figures.get(what, 0) + number


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Flipped bits, a cut, words that lengths and offsets are made of, pieces moved."""
    out = bytearray(data)
    match chance.randrange(6):
        case 0:
            for _ in range(chance.choice((1, 1, 2, 8, 64))):
                out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
        case 1:
            del out[chance.randrange(len(out)) :]
        case 2:
            for _ in range(chance.choice((1, 1, 3))):
                at = chance.randrange(len(out) // 4) * 4
                out[at : at + 4] = chance.choice(_WORDS).to_bytes(4, "little")
        case 3:
            at, length = chance.randrange(len(out)), chance.randrange(1, 64)
            out[at : at + length] = bytes(len(out[at : at + length]))
        case 4:
            at, to, length = chance.randrange(len(out)), chance.randrange(len(out)), chance.randrange(4, 128)
            piece = out[at : at + length]
            out[to : to + len(piece)] = piece
        case _:
            at = chance.randrange(len(out) // 4) * 4
            value = int.from_bytes(out[at : at + 4], "little") + chance.choice((-4, -2, -1, 1, 2, 4, 1024))
            out[at : at + 4] = (value % 2**32).to_bytes(4, "little")
    return bytes(out)


def mutated_graph(data: bytes, chance: random.Random) -> bytes:  # noqa: C901, PLR0912  # one case a mutation
    """One thing of the graph changed, and a valid flatbuffer made of it again."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    for _ in range(chance.choice((1, 1, 2))):
        tensor, operator = chance.choice(graph.tensors), chance.choice(graph.operators)
        match chance.randrange(10):
            case 0:
                shape = list(tensor.shape) if tensor.shape is not None else [1]
                shape[chance.randrange(len(shape)) if shape else 0] = chance.choice((0, -1, 1, 7, 4096, 2**31 - 1))
                tensor.shape = shape
            case 1:
                tensor.type = chance.randrange(18)
            case 2:
                tensor.buffer = chance.randrange(len(model.buffers) + 2)
            case 3:
                inputs = list(operator.inputs)
                inputs[chance.randrange(len(inputs))] = chance.choice((-1, 0, chance.randrange(len(graph.tensors)), 99))
                operator.inputs = inputs
            case 4:
                operator.outputs = [chance.choice((-1, chance.randrange(len(graph.tensors)), 99))]
            case 5:
                code = chance.choice(model.operatorCodes)
                code.builtinCode = chance.randrange(200)
                code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            case 6:
                chance.shuffle(graph.operators)
            case 7:
                buffer = chance.choice([each for each in model.buffers if each.data is not None and len(each.data)])
                content = bytearray(bytes(buffer.data))
                for _ in range(chance.choice((1, 4, 64))):
                    content[chance.randrange(len(content))] = chance.randrange(256)
                buffer.data = list(content)
            case 8:
                buffer = chance.choice([each for each in model.buffers if each.data is not None and len(each.data)])
                buffer.data = list(bytes(buffer.data)[: chance.randrange(len(buffer.data))])
            case _:
                quantization = tensor.quantization
                if quantization is not None and quantization.scale is not None and len(quantization.scale):
                    scale = chance.choice((0.0, -1.0, float("nan"), float("inf"), 1e-30, 1e30, 0.5, 2.0))
                    quantization.scale = [scale] * len(quantization.scale)
    builder = Builder(len(data) + 1024)
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except (TypeError, ValueError, OverflowError):  # values that the format has no room for
        return b""
    return bytes(builder.Output())


_VALUES: Final = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    1e308,
    -1e-9,
    0.5,
    "",
    "x" * 300,
    "\u0000",
    "\ud800",
    [],
    {},
    [[]],
)


def mutated_json(data: bytes, chance: random.Random) -> bytes:
    """A value, a key or a list changed; or the text's own bytes."""
    if chance.random() < 0.3:
        return mutated(data, chance)
    tree = msgspec.json.decode(data)
    places = list(_places(tree))
    for _ in range(chance.choice((1, 1, 2))):
        holder, key = chance.choice(places)
        try:
            match chance.randrange(5):
                case 0:
                    holder[key] = copy.deepcopy(chance.choice(_VALUES))
                case 1:
                    del holder[key]
                case 2 if isinstance(holder, list):
                    holder.append(copy.deepcopy(holder[key]))
                case 3 if isinstance(holder, list):
                    chance.shuffle(holder)
                case _:
                    holder[key] = _near(holder[key], chance)
        except (KeyError, IndexError):
            continue
    try:
        return msgspec.json.encode(tree)
    except (UnicodeEncodeError, ValueError, OverflowError):
        return data[:-2]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)


def _near(value: Any, chance: random.Random) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return chance.choice((value + 1, value - 1, -value, value * 2, value / 2))
        case str() if len(value) > 100:
            return base64.b64encode(mutated(base64.b64decode(value + "=" * (-len(value) % 4)), chance)).decode()
        case str():
            return chance.choice((value + "x", value[1:], value.upper(), value[::-1]))
        case _:
            return value
