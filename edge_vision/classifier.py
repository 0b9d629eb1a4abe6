"""The interpreter: the only module that knows LiteRT or tflite-runtime.

A `Classifier` is one model, verified and ready. The digest is checked before the interpreter sees a byte: malformed
flatbuffers crash tflite-runtime. Then the model's tensors are held against the manifest, so a model that does not fit
is refused by name instead of answering nonsense. Cropping is `crop`'s, known answers are `goldens`',
what an answer must be to count is `probabilities`'.
"""

import importlib.metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.manifest import ModelManifest, digest_of
from edge_vision.picture import Pixels
from edge_vision.probabilities import ModelFailedError, Probabilities, probabilities

__all__ = ["Classifier", "ModelFailedError", "Probabilities", "load", "runtime"]

_SCALE_TOLERANCE: Final = 1e-6  # manifests carry the scale as JSON, the flatbuffer as float32


class _Runtime(NamedTuple):
    """An installed interpreter package."""

    interpreter: Any
    reference_kernels: Any
    """The resolver of the plain C++ kernels. Only they are bit-identical over runtimes and processors: LiteRT's other
    built-in kernels, without any delegate, answer up to 2 of 255 apart on Arm (emulated Cortex-A72 and A76)."""
    description: str


class Classifier:
    """One verified model in one interpreter. Not thread-safe: one thread owns it."""

    def __init__(self, model: bytes, manifest: ModelManifest, *, threads: int = 1, delegates: bool = True) -> None:
        """Verify and load `model`, the bytes of a TFLite file.

        One thread by default: two contend with the capture and, under load, made tflite-runtime five times slower.
        `delegates` False computes with the reference kernels: many times slower, and the same bits everywhere.

        Raises:
            TrustError: the bytes do not have the manifest's size and digest; nothing was loaded.
            UsageError: the runtime cannot load the model, or its tensors are not those of the manifest.
            EdgewiseError: no runtime is installed.
        """
        name = f"{manifest.name} {manifest.release}"
        if len(model) != manifest.size or digest_of(model) != manifest.digest:
            raise TrustError(f"the model file of {name} does not have its manifest's digest: not loaded.")
        runtime = _runtime()
        self.runtime = runtime.description
        self.manifest = manifest
        resolver = {} if delegates else {"experimental_op_resolver_type": runtime.reference_kernels}
        try:
            interpreter = runtime.interpreter(model_content=model, num_threads=threads, **resolver)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(
                f"{self.runtime} cannot load the model of {name} ({reason})", remedy="convert it again"
            ) from error
        self._interpreter = interpreter
        self._input, self._output = _fitting_tensors(interpreter, manifest, name)
        self.input: Pixels = np.zeros(manifest.input.shape, np.uint8)
        """A preallocated input tensor [1, height, width, channels] for the caller to fill."""

    def raw(self, tensor: Pixels) -> NDArray[Any]:
        """The answer tensor to one input tensor, as the model wrote it: [1, labels], quantized or float.

        Raises:
            UsageError: `tensor` is not uint8 of the manifest's shape.
            ModelFailedError: the interpreter cannot run the model on it.
        """
        try:
            self._interpreter.set_tensor(self._input, tensor)
        except ValueError as error:
            expected = list(self.manifest.input.shape)
            raise UsageError(f"the model takes uint8 {expected}, not {tensor.dtype} {list(tensor.shape)}.") from error
        try:
            self._interpreter.invoke()
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelFailedError(f"{self.manifest.name} {self.manifest.release} cannot be run ({reason})") from error
        answer: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return answer

    def classify(self, tensor: Pixels) -> Probabilities:
        """Probability of each label, in the manifest's order: float32 [labels], each within 0..1.

        Raises:
            UsageError: as `raw`.
            ModelFailedError: as `raw`, or the answer holds no probabilities (see `probabilities`).
        """
        return probabilities(self.raw(tensor)[0], self.manifest)


def load(path: Path, manifest: ModelManifest, *, threads: int = 1, delegates: bool = True) -> Classifier:
    """The classifier of a model file.

    Raises:
        UsageError: the file cannot be read; otherwise as `Classifier`.
    """
    try:
        model = read_file(path, limits.MODEL_BYTES)
    except OSError as error:
        raise UsageError(f"the model {path} cannot be read ({error.strerror})", remedy="put the file there") from error
    return Classifier(model, manifest, threads=threads, delegates=delegates)


def runtime() -> str:
    """Name and version of the runtime a `Classifier` would use, such as "litert 2.3.0".

    Raises:
        EdgewiseError: none is installed.
    """
    return _runtime().description


def _runtime() -> _Runtime:
    """LiteRT, or tflite-runtime where LiteRT has no wheel (32-bit boards)."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415 - one of two may be absent

        version = importlib.metadata.version("ai-edge-litert")
        return _Runtime(Interpreter, OpResolverType.BUILTIN_REF, f"litert {version}")
    except ImportError:
        pass
    if int(np.__version__.partition(".")[0]) >= 2:
        # tflite-runtime 2.14 imports under numpy 2 and then fails inside every Interpreter: say it here instead.
        raise EdgewiseError(
            "no usable TFLite runtime is installed",
            remedy="install ai-edge-litert, or tflite-runtime with numpy<2 (requirements/edge*.txt)",
        )
    try:
        from tflite_runtime.interpreter import Interpreter as OldInterpreter  # noqa: PLC0415
        from tflite_runtime.interpreter import OpResolverType as OldResolverType  # noqa: PLC0415
    except ImportError as error:
        raise EdgewiseError("no TFLite runtime is installed", remedy="run `pip install ai-edge-litert`") from error
    version = importlib.metadata.version("tflite-runtime")
    return _Runtime(OldInterpreter, OldResolverType.BUILTIN_REF, f"tflite-runtime {version}")


def _fitting_tensors(interpreter: Any, manifest: ModelManifest, name: str) -> tuple[int, int]:
    """Indices of the input and output tensor.

    Raises:
        UsageError: number, shape, type or quantization of a tensor is not the manifest's.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise UsageError(f"the model of {name} has {len(inputs)} inputs and {len(outputs)} outputs, not one of each.")
    given, answer = inputs[0], outputs[0]
    found = {
        "input": (str(np.dtype(given["dtype"])), tuple(map(int, given["shape"]))),
        "output": (str(np.dtype(answer["dtype"])), tuple(map(int, answer["shape"]))),
    }
    promised = {
        "input": (manifest.input.dtype, manifest.input.shape),
        "output": (manifest.output.dtype, (1, len(manifest.labels))),
    }
    for tensor, (dtype, shape) in found.items():
        if (dtype, shape) != promised[tensor]:
            wanted_dtype, wanted_shape = promised[tensor]
            raise UsageError(
                f"the {tensor} of {name} is {dtype} {list(shape)}, its manifest says {wanted_dtype} "
                f"{list(wanted_shape)}",
                remedy="package the model again",
            )
    if manifest.output.dtype != "float32":
        scale, zero_point = answer["quantization"]
        off = abs(scale - manifest.output.scale)
        if off > _SCALE_TOLERANCE * max(scale, _SCALE_TOLERANCE) or zero_point != manifest.output.zero_point:
            raise UsageError(
                f"the output of {name} is quantized by {scale:g} and {zero_point}, its manifest says "
                f"{manifest.output.scale:g} and {manifest.output.zero_point}",
                remedy="package the model again",
            )
    return int(given["index"]), int(answer["index"])
