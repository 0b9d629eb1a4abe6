"""The recipes of the shipped models: each is valid, and docs/training.md says them in an order that works."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from train.distill import DistillParams
from train.loop.settings import TrainParams
from train.network.build import network_config
from train.params import load_section
from train.pretrained import SOURCES

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = sorted((REPOSITORY / "train" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_valid_and_writes_the_run_of_its_name(path: Path) -> None:
    params = load_section(path, "train", TrainParams)
    network_config(params.network, params.network_options)
    assert params.output == f"build/runs/{path.stem}"
    assert bool(params.views) == ("\ndistill:" in path.read_text())
    if params.views:
        assert params.views == load_section(path, "distill", DistillParams).output


def test_a_recipe_is_of_a_model_that_is_shipped() -> None:
    shipped = {path.stem for path in (REPOSITORY / "models").glob("*.ewm")}
    made = {re.match(r"\w+-\d+", path.stem) for path in RECIPES}
    assert {name[0] for name in made if name} == shipped


def test_the_commands_of_the_training_page_find_what_earlier_ones_wrote_and_use_every_recipe() -> None:
    there: set[str] = set()
    used: set[str] = set()
    for module, options in commands((REPOSITORY / "docs" / "training.md").read_text()):
        recipe = options.get("--params", [""])[0]
        used |= {recipe} if module in {"train.distill", "train.fit"} else set()
        needs, writes = files(module, options, recipe)
        assert set(needs) <= there, (module, recipe)
        there.add(writes)
    assert used == {str(path.relative_to(REPOSITORY)) for path in RECIPES}


def commands(page: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Modules that the page's commands run, with their options."""
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] != ["python", "-m"]:
                continue
            options: dict[str, list[str]] = {}
            for word in words[3:]:
                if word.startswith("--"):
                    given = options.setdefault(word, [])
                else:
                    given.append(word)
            yield words[2], options


def files(module: str, options: dict[str, list[str]], recipe: str) -> tuple[list[str], str]:
    """What a command of the page reads that another one wrote, and what it writes."""
    if module == "train.pretrained":
        packed = {
            f"{source.package.removeprefix('@').replace('/', '-').replace('@', '-')}.tgz": source.network
            for source in SOURCES.values()
        }
        return [], f"build/{packed[options['--package'][0]]}.keras"
    if module == "train.distill":
        distill = load_section(REPOSITORY / recipe, "distill", DistillParams)
        return list(distill.teachers), distill.output
    if module == "train.fit":
        train = load_section(REPOSITORY / recipe, "train", TrainParams)
        needs = [train.start_from.removesuffix("/model.keras"), train.views]
        return [name for name in needs if name], train.output
    if module == "train.soup":
        return options["--runs"], options["--output"][0]
    read = [Path(given[0]) for name, given in options.items() if name in {"--network", "--history", "--run"}]
    return [str(path.parent) for path in read], ""
