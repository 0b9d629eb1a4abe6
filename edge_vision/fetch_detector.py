"""Fetches the YuNet face detector from its public home: `python -m edge_vision.fetch_detector [PATH]`.

The file is not ours to ship with the package; its digest is pinned, so it does not matter who hands it over.
"""

import argparse
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_vision.detector_file import HOME, YUNET_BYTES, YUNET_SHA256

DEFAULT_PATH: Final = Path("data/face_detection_yunet_2023mar.onnx")
_TIMEOUT: Final = 30.0  # seconds of silence


def fetch(path: Path, url: str = HOME) -> bool:
    """Put the detector at `path`; False when it is there already. A file appears whole and verified, or not at all.

    Raises:
        EdgewiseError: it cannot be fetched or written.
        TrustError: what came is not the pinned file; nothing was written.
    """
    if path.is_file() and digest_of(read_file(path, limits.MODEL_BYTES)) == YUNET_SHA256:
        return False
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise UsageError(f"the face detector is fetched over https, not from {url}.")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - the scheme was checked
            data = answer.read(YUNET_BYTES + 1)
    except (urllib.error.URLError, OSError) as error:
        raise EdgewiseError(
            f"{url} cannot be fetched ({error})", remedy=f"fetch it elsewhere and copy it to {path}, or go on with Haar"
        ) from error
    if digest_of(data) != YUNET_SHA256:
        raise TrustError(f"what {url} answered does not have the pinned digest of the face detector: not written.")
    try:
        write_file(path, data, mode=0o644, parents=True)
    except OSError as error:
        raise EdgewiseError(f"{path} cannot be written ({error.strerror})", remedy="choose another place") from error
    return True


@command()
def main() -> int:
    """The command; answers with an exit code."""
    parser = argparse.ArgumentParser(description="Fetch the YuNet face detector (MIT, 0.2 MB) and check its digest.")
    parser.add_argument("path", nargs="?", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--url", default=HOME, help="another mirror of the same file")
    arguments = parser.parse_args()
    fetched = fetch(arguments.path, arguments.url)
    sys.stdout.write(f"{arguments.path}: {'fetched and verified' if fetched else 'already here and verified'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
