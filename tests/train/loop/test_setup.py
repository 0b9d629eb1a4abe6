"""What cannot be trained is refused before the first step."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import NAMES, shapes
from tests.train.small_runs import settings
from train.loop.settings import Objective
from train.loop.setup import refuse_unfit_labels, set_up


def test_labels_that_do_not_fit_the_head_are_refused_before_training() -> None:
    data = shapes()
    labels = data.labels.copy()
    labels[5] = 9
    with pytest.raises(UsageError, match="has label 9, but names only 3 classes"):
        refuse_unfit_labels(dataclasses.replace(data, labels=labels))
    with pytest.raises(UsageError, match=f"class `{NAMES[2]}` has no picture in split train"):
        refuse_unfit_labels(dataclasses.replace(data, labels=np.minimum(data.labels, 1)))


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (Objective(votes_weight=0.5), "votes_weight needs FER"),
        (Objective(teacher_weight=0.5), "teacher_weight needs a teacher's answers"),
        (Objective(features_weight=0.5), "features_weight needs a teacher's answers"),
    ],
)
def test_an_objective_without_its_data_is_refused(tmp_path: Path, objective: Objective, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        set_up(settings(tmp_path, objective=objective), shapes())
