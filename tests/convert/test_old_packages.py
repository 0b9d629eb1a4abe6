"""A package of every released version of Edgewise must still open, and its model still answer as it did.

`packages/VERSION.ewm` was written by that version; a file is added with a release and never changed.
"""

from pathlib import Path

import pytest

from edge_contract import package as packages
from edge_vision import goldens
from edge_vision.classifier import Classifier

OLD = sorted((Path(__file__).parent / "packages").glob("*.ewm"))


def test_there_are_old_packages() -> None:
    assert OLD


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_package_of_an_older_version_opens_and_answers_as_it_did(path: Path) -> None:
    package = packages.read_file(path)
    manifest = package.manifest
    assert manifest.goldens
    assert manifest.gate is not None
    assert manifest.gate.passed
    assert manifest.accuracy is not None
    assert manifest.digest in package.card
    exact = goldens.check(Classifier(package.model, manifest, delegates=False), manifest, goldens.EXACT)
    assert exact.ok, exact


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_writing_an_older_package_again_loses_nothing(path: Path) -> None:
    """Not the same bytes: where the manifest grew a field since, the reader's default is in the new ones."""
    package = packages.read_file(path)
    assert packages.read(packages.write(package)) == package
