"""`application/x-npy`, as SageMaker's Python clients send tensors: NumPy's format, read without NumPy's reader.

That one allocates what a header claims before it looks whether so many bytes are there.
"""

import io
from collections.abc import Sequence

import numpy as np

from edge_contract.manifest import ModelManifest
from edge_serve.http.message import bad, shown
from edge_serve.protocols import tensors
from edge_vision.picture import Pixels

KIND = b"application/x-npy"


def read(body: bytes, manifest: ModelManifest, limit: int) -> Pixels:
    """uint8 [n, height, width, channels]; one picture may lack its first axis.

    Raises:
        RefusedError: 400 or 413, it is no such array.
    """
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise bad(f"an array in version {version[0]}.{version[1]} of NumPy's format is not read.")
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise bad(f"the body is no array in NumPy's format ({shown(error)}).") from error
    if dtype != np.uint8 or fortran:
        raise bad(f"the array is {shown(dtype)}{' in Fortran order' if fortran else ''}, the model takes uint8.")
    sides: Sequence[int] = (1, *shape) if len(shape) == 3 else shape
    tensors.rows(sides, manifest.input.shape, limit)
    return tensors.from_bytes(body[stream.tell() :], sides)
