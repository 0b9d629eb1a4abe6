"""A stage of dvc.yaml runs again when code that it runs has changed, and only then."""

from pathlib import Path

import grimp
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
NOT_RESULTS = {"train.params", "train.progress"}  # how settings are read and bars are drawn changes no result
GRAPH = grimp.build_graph("train", "convert", cache_dir=None)


def code_of(stage: str) -> set[str]:
    """Modules of training and conversion that the stage's command loads, however indirectly."""
    command = STAGES[stage]["cmd"].split()[2]
    loaded = GRAPH.find_upstream_modules(command) | {command}
    return {module for module in loaded if not (REPOSITORY / module.replace(".", "/")).is_dir()} - NOT_RESULTS


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "package"])
def test_a_stage_depends_on_all_code_that_it_runs(stage: str) -> None:
    named = [Path(name) for name in STAGES[stage]["deps"]]
    files = {module: Path(module.replace(".", "/") + ".py") for module in code_of(stage)}
    assert [module for module, file in files.items() if not {file, *file.parents} & set(named)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_no_code_that_is_gone_or_that_it_does_not_run(stage: str) -> None:
    files = {Path(module.replace(".", "/") + ".py") for module in code_of(stage)}
    for name in STAGES[stage]["deps"]:
        if name.startswith(("train/", "convert/")):
            assert any(Path(name) in {file, *file.parents} for file in files), name
