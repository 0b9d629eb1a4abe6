"""Which files are pictures: the one rule for what training reads and what the agent looks at.

A file is a picture when its name ends as one or when it begins as one, whatever its name: collections hold `.jfif`,
`.jpe` and files without any ending. What is neither is no damaged picture but something that lies beside pictures.
"""

from pathlib import Path
from typing import Final

SUFFIXES: Final = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Endings, in lower case, by which people mean a picture. Not all are decoded everywhere (`.heic` nowhere): such a file
is named as a picture that cannot be read and not passed over."""

GIF: Final = b"GIF8"

_BEGINNINGS: Final = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    GIF,
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",  # TIFF and BigTIFF
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
)  # fmt: skip
_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")  # of the ISO file that AVIF and HEIF are
_LONGEST: Final = 12


def is_picture_file(path: Path) -> bool:
    """Whether this file, or the one a link leads to, is a picture by its name or its first bytes.

    A picture by its name may still be damaged. Only regular files are opened: a pipe would be waited for.
    """
    if not path.is_file():
        return False
    return path.suffix.lower() in SUFFIXES or begins_as_picture(beginning(path))


def begins_as_picture(first: bytes) -> bool:
    """Whether a file that begins with these bytes (12 are enough) is a picture."""
    if first.startswith(_BEGINNINGS):
        return True
    if first[:4] == b"RIFF":
        return first[8:12] == b"WEBP"
    return first[4:8] == b"ftyp" and first[8:12] in _BRANDS


def beginning(path: Path) -> bytes:
    """The first bytes of a file; none of one that cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except OSError:
        return b""
