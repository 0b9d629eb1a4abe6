"""Lists of releases as they were signed before manifests travelled as files of their own.

Then a model's target carried its manifest, chunks and notes as `custom`. Nothing is lost in between: the same manifest
becomes the release file, under the same release key.
"""

from typing import Any

import msgspec
from tuf.api.metadata import TargetFile

from edge_contract.manifest import decode
from edge_contract.trust import Chunks, Release
from edge_fleet.releases.releases import Releases


def migrate(releases: Releases) -> int:
    """Sign a list of the old form anew; how many releases it held, 0 for one of today's form.

    Raises:
        EdgewiseError: the release key is not here, or a release cannot be read any more.
    """
    old = {path for path, file in releases.repository.listed().items() if _is_old(file)}
    if old:
        with releases.repository.editing() as targets:
            for path in old:
                custom: Any = targets[path].unrecognized_fields.pop("custom")
                release = Release(
                    manifest=decode(custom["manifest"].encode()),
                    chunks=msgspec.convert(custom["chunks"], Chunks),
                    notes=custom.get("notes", ""),
                )
                file = releases.keep_release_file(release)
                targets[file.path] = file
    return len(old)


def _is_old(file: TargetFile) -> bool:
    return isinstance(file.custom, dict) and "manifest" in file.custom
