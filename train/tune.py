"""`make tune`: search hyperparameters with Optuna; the best are written as a params file to review.

    python -m train.tune [--params params.yaml]

Scores on the selection split, prunes trials that fall behind, and goes on with the study of the same name, data, space
and settings: several machines that name one storage (`tune.storage`, any SQLAlchemy URL) share the work. Each trial is
an MLflow run under the study's; a pruned one is marked as killed there, and as pruned in the study.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import optuna
import yaml
from sqlalchemy.exc import SQLAlchemyError

from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from edge_contract.public_url import public_url, without_secrets
from edge_contract.setting_types import Count, Seed, Text
from train.data.dataset import Dataset, load
from train.fit import fit
from train.loop.errors import DivergedError, PrunedError
from train.loop.settings import TrainParams
from train.loop.setup import fingerprint
from train.loop.tracking import open_parent
from train.params import load_section, section_from
from train.scoring import plots


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one parameter may be: numbers from `low` to `high`, or one of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] = []


class TuneParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `tune` section of params.yaml; `space` names train params with dots, such as `augment.erase`."""

    space: dict[str, Range]
    study: Text = "edgewise"
    storage: Text = "sqlite:///optuna.db"
    trials: Count = 20
    epochs: Count = 10  # of each trial
    warmup_epochs: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 3  # epochs before a trial may be pruned
    seed: Seed = 1
    output: Text = "build/tune"


def tune(params: TuneParams, base: TrainParams, data: Dataset) -> optuna.Study:
    """Run `params.trials` more trials of the study and write best.yaml and its pictures."""
    output = Path(params.output)
    output.mkdir(parents=True, exist_ok=True)
    for name, values in params.space.items():
        # A mistyped name or an empty range is found before the first trial has cost minutes.
        replaced(base, {name: _first(name, values)})
    study = open_study(params, study_name(params, base, data))
    parent = open_parent(base, params.study)

    def objective(trial: optuna.Trial) -> float:
        # The storage numbers the trials of all machines, so two with one seed never draw the same values.
        study.sampler = optuna.samplers.TPESampler(seed=params.seed + trial.number)
        chosen = {name: _suggest(trial, name, values) for name, values in params.space.items()}
        folder = str(output / f"trial-{trial.number:04d}")
        trained = msgspec.structs.replace(replaced(base, chosen), epochs=params.epochs, output=folder)

        def report_epoch(row: dict[str, float]) -> None:
            trial.report(row["selection_accuracy"], int(row["epoch"]))
            if trial.should_prune():
                raise PrunedError(f"trial {trial.number} was pruned after epoch {row['epoch']:.0f}.")

        try:
            fitted = fit(
                trained, data, restart=True, parent_run=parent, on_epoch=report_epoch, report=lambda _line: None
            )
        except PrunedError as error:
            raise optuna.TrialPruned(str(error)) from error
        return fitted.selection.accuracy.value

    # A diverged trial is a finding, not a reason to stop: Optuna notes it as failed and goes on.
    study.optimize(objective, n_trials=params.trials, catch=(DivergedError,))
    if any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        best = replaced(base, {name: _chosen(params.space[name], stored) for name, stored in study.best_params.items()})
        text = (
            f"# Trial {study.best_trial.number} of study {study.study_name}: "
            f"selection accuracy {study.best_value:.4f}.\n"
            + yaml.safe_dump({"train": msgspec.to_builtins(best)}, sort_keys=False)
        )
        write_file(output / "best.yaml", text.encode())
        write_pictures(study, output)
    return study


def study_name(params: TuneParams, base: TrainParams, data: Dataset) -> str:
    """The study's name in the storage: the one in the params, and what makes its trials comparable.

    Other data, another space or other settings of each trial are another study: what the trials of one found says
    nothing of the other, and Optuna would go on from it.
    """
    same = {
        "training": fingerprint(msgspec.structs.replace(base, epochs=params.epochs), data),
        "space": msgspec.to_builtins(params.space),
    }
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()
    return f"{params.study}-{digest[:12]}"


def open_study(params: TuneParams, name: str) -> optuna.Study:
    """The study of this name in the storage that `params` name, new or as all machines have left it.

    Raises:
        UsageError: The storage cannot be reached.
    """
    url = params.storage
    if url.startswith("postgresql://"):  # as everywhere in Edgewise: the driver is psycopg 3
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        storage = optuna.storages.RDBStorage(url)
    except (SQLAlchemyError, ImportError, OSError) as error:
        reason = without_secrets(str(error).strip().partition("\n")[0], [url, params.storage])
        raise UsageError(
            f"tune.storage {public_url(params.storage)} cannot be used ({reason})",
            remedy="name a SQLAlchemy URL such as sqlite:///optuna.db, or postgresql://host/name with "
            "the psycopg package installed",
        ) from error
    return optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=params.warmup_epochs),
    )


def replaced(base: TrainParams, values: dict[str, Any]) -> TrainParams:
    """`base` with dotted names replaced.

    Raises:
        UsageError: There is no such train parameter, or the value does not fit; the text names the nearest.
    """
    document: dict[str, Any] = msgspec.to_builtins(base)
    for name, value in values.items():
        *path, last = name.split(".")
        place = document
        for step in path:
            if not isinstance(place.get(step), dict):
                raise UsageError(f"tune.space has `{name}`, but train has no section `{step}`.")
            place = place[step]
        place[last] = value
    return section_from(document, "train", TrainParams)


def write_pictures(study: optuna.Study, output: Path) -> None:
    """History of the trials, and which parameter mattered how much (fANOVA) once there are enough trials."""
    finished = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    values = [float(trial.value) for trial in finished if trial.value is not None]
    plots.search_history([trial.number for trial in finished], values, output / "history.png")
    if len(set(values)) > 3:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        importance = optuna.importance.get_param_importances(study, evaluator=evaluator)
        plots.importance(importance, output / "importance.png")


def _suggest(trial: optuna.Trial, name: str, values: Range) -> Any:
    if values.choices:
        stored = trial.suggest_categorical(name, [_stored(choice) for choice in values.choices])
        return _chosen(values, stored)
    low, high = _bounds(name, values)
    return trial.suggest_float(name, low, high, log=values.log)


def _stored(choice: Any) -> str | int | float | bool | None:
    """A choice as Optuna's storage takes it: lists become their JSON."""
    return choice if isinstance(choice, str | int | float | bool | None) else json.dumps(choice)


def _chosen(values: Range, stored: Any) -> Any:
    return next((choice for choice in values.choices if _stored(choice) == stored), stored)


def _first(name: str, values: Range) -> Any:
    return values.choices[0] if values.choices else _bounds(name, values)[0]


def _bounds(name: str, values: Range) -> tuple[float, float]:
    if values.low is None or values.high is None or values.low > values.high or (values.log and values.low <= 0):
        raise UsageError(f"tune.space.{name} needs `choices`, or `low` and `high` with low ≤ high (above 0 with log).")
    return values.low, values.high


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.tune`."""
    parser = argparse.ArgumentParser(description="Search train params with Optuna, scored on the selection split.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    options = parser.parse_args(arguments)
    params = load_section(options.params, "tune", TuneParams)
    base = load_section(options.params, "train", TrainParams)
    study = tune(params, base, load(Path(base.dataset)))
    counts = {state.name.lower(): sum(t.state == state for t in study.trials) for state in optuna.trial.TrialState}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    print(f"{params.output}: study {study.study_name}, {summary}; review {params.output}/best.yaml.")  # noqa: T201 - the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
