"""The agent on 64-bit Arm: it imports, and the shipped model's known inputs are answered bit for bit as on the host.

Cortex-A72 (Raspberry Pi 4) with both runtimes is part of every run of the suite, where the emulated devices can be
made (deploy/arm64/devices.sh); the Cortex-A76 (Pi 5) and the older models come with `make test-arm64`.
"""

import json
from pathlib import Path
from typing import Final

import pytest

from deploy.arm64.processors import CORTEX_A72, CORTEX_A76
from edge_vision import goldens
from tests.arm64.emulated import RUNTIMES, SHIPPED, EmulatedDevice

pytestmark = pytest.mark.timeout(900)


START: Final = """
import importlib, json, pkgutil, sys
from pathlib import Path
import edge_agent, edge_contract, edge_vision
names = [
    module.name
    for package in (edge_agent, edge_contract, edge_vision)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if not module.name.endswith(".__main__")
]
for name in names:
    importlib.import_module(name)
from edge_contract.package import read_file
from edge_vision import goldens
from edge_vision.classifier import Classifier
package = read_file(Path(sys.argv[1]))
found = {"imported": len(names)}
for delegates in (False, True):
    classifier = Classifier(package.model, package.manifest, delegates=delegates)
    found[str(delegates)] = goldens.check(classifier, package.manifest, goldens.EXACT)._asdict()
print(json.dumps({"runtime": classifier.runtime, **found}))
"""


def boards() -> list[object]:
    """Every processor with every runtime and shipped model; slow but for the first processor with the newest model."""
    return [
        pytest.param(
            (runtime, processor),
            package,
            id=f"{processor.name}-{runtime}-{package.stem}",
            marks=[
                pytest.mark.xdist_group(f"emulated-{runtime}"),  # one device is one folder
                *([] if (processor, package) == (CORTEX_A72, SHIPPED[-1]) else [pytest.mark.slow]),
            ],
        )
        for processor in (CORTEX_A72, CORTEX_A76)
        for runtime in RUNTIMES
        for package in SHIPPED
    ]


@pytest.mark.parametrize(("device", "package"), boards(), indirect=["device"])
def test_every_module_imports_and_goldens_are_exact_without_delegates_and_close_with_them(
    device: EmulatedDevice, package: Path
) -> None:
    found = json.loads(device.python("-c", START, device.put(package)))
    assert found["imported"] > 30
    assert found["runtime"].startswith({"litert": "litert 2.", "tflite": "tflite-runtime 2.14"}[device.runtime])
    assert found["False"]["ok"]
    assert found["False"]["run"] > 0
    assert found["True"]["worst"] <= goldens.WITH_DELEGATES, found
