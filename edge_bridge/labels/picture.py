"""A crop's pixels as a PNG, made in memory: no file and no cache holds a picture unless somebody exports it."""

import importlib.util
import io

from edge_contract.crop import Crop
from edge_contract.errors import UsageError


def require() -> None:
    """Before anything is collected: what draws a picture is here.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("PIL") is None:
        raise UsageError("labels need Pillow, which is not installed here", remedy="run: pip install pillow")


def png(crop: Crop) -> bytes:
    """Lossless: the same pixels come out again."""
    from PIL import Image  # noqa: PLC0415  # a bridge without labels needs none

    header = crop.header
    mode = "L" if header.channels == 1 else "RGB"
    out = io.BytesIO()
    Image.frombytes(mode, (header.width, header.height), crop.pixels).save(out, "PNG")
    return out.getvalue()
