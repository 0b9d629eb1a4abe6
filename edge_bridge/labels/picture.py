"""A crop's pixels as a PNG, made in memory: no file and no cache holds a picture unless somebody exports it."""

import io

from edge_contract.crop import Crop


def png(crop: Crop) -> bytes:
    """Lossless: the same pixels come out again."""
    from PIL import Image  # noqa: PLC0415  # a bridge without labels needs none

    header = crop.header
    mode = "L" if header.channels == 1 else "RGB"
    out = io.BytesIO()
    Image.frombytes(mode, (header.width, header.height), crop.pixels).save(out, "PNG")
    return out.getvalue()
