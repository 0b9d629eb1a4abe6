"""The manifest of a converted model before the gate: what follows from the file itself and the data set.

`quantize` writes it, the gate measures by it, `package` adds name, release, scores and lineage.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.tflite import goldens
from convert.tflite.flatbuffer import Graph, parse
from convert.tflite.runtimes import LITERT, TFLITE_RUNTIME, ask
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.manifest import Budget, FaceCrop, ImageInput, ModelManifest, Output, digest_of
from train.data.dataset import Images

CANDIDATE = "candidate"
"""The name of a model that is not a release yet."""


def describe(model: bytes, labels: tuple[str, ...], images: Images, crop: FaceCrop, budget: Budget) -> ModelManifest:
    """The manifest of an int8 or float model trained on `images` with these labels, goldens included.

    Raises:
        UsageError: the file is damaged, or the number of its answers is not that of the labels.
        EdgewiseError: the reference runtime cannot run it.
    """
    graph = parse(model)
    answers = graph.output.shape[-1] if graph.output.shape else 0
    if answers != len(labels):
        raise UsageError(f"the network answers {answers} classes, the data set has {len(labels)}: {', '.join(labels)}.")
    image = input_of(images)
    manifest = ModelManifest(
        name=CANDIDATE,
        release=1,
        digest=digest_of(model),
        size=len(model),
        labels=labels,
        input=image,
        crop=crop,
        output=output_of(graph),
        quantization="float32" if graph.output.dtype == "FLOAT32" else "int8",
        budget=budget,
    )
    pictures = goldens.candidates(image)
    delegated = _answers(model, manifest, pictures, delegates=True)
    listed = goldens.shortlist(delegated)
    exact = _answers(model, manifest, pictures[listed], delegates=False)
    # The two runtimes' reference kernels round a softmax differently now and then; what is known of both is kept.
    older = (
        ask(TFLITE_RUNTIME, model, manifest, pictures[listed], delegates=(False,)) if TFLITE_RUNTIME.present else None
    )
    known = exact if older is None or older.outputs is None else older.outputs
    chosen = goldens.choose(listed, exact, delegated[listed], (exact == known).all(axis=1))
    return msgspec.structs.replace(manifest, goldens=goldens.pack(pictures[listed][chosen], exact[chosen]))


def _answers(model: bytes, manifest: ModelManifest, pictures: NDArray[np.uint8], *, delegates: bool) -> NDArray[Any]:
    answer = ask(LITERT, model, manifest, pictures, delegates=(delegates,))
    if answer.outputs is None:
        raise EdgewiseError(f"the converted model does not run on the reference runtime: {answer.failure}.")
    return answer.outputs


def input_of(images: Images) -> ImageInput:
    """The manifest's input for a network trained on images [N, height, width, 1 or 3]."""
    return ImageInput(height=images.shape[1], width=images.shape[2], color="gray" if images.shape[3] == 1 else "rgb")


def output_of(graph: Graph) -> Output:
    """How the model's answers are stored: type, scale and zero point.

    Raises:
        UsageError: the type is none that a device reads.
    """
    tensor = graph.output
    dtype = tensor.dtype.lower()
    if dtype not in ("uint8", "int8", "float32"):
        raise UsageError(f"the model answers in {dtype}, and a device reads uint8, int8 or float32.")
    if tensor.quantization is None:
        return Output(dtype="float32")
    return Output(
        dtype="uint8" if dtype == "uint8" else "int8",
        scale=float(tensor.quantization.scale[0]),
        zero_point=int(tensor.quantization.zero_point[0]),
    )
