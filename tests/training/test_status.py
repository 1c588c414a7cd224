"""The flag of `stp runs`: what is wrong with a run by its loss and its test clips."""

import numpy as np
import pytest

from stp.data.run_name import RunName
from stp.evaluation.scores import Scores
from stp.training.status import RunStatus

SETTLED = [1.9, 1.2, 0.8, 0.6, 0.52, 0.5, 0.49, 0.49, 0.49, 0.49]
FALLING = [2 * 0.8**epoch for epoch in range(10)]
RISING = [1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6]
LEARNED, TWO_ALONE, ALL_ONE = [0, 1, 2, 3], [0, 1, 2, 2], [0, 0, 0, 0]  # what the clips of four classes are taken for


def scored(named: list[int]) -> Scores:
    """Scores of ten test clips of each of four classes, of which each class is taken for one."""
    labels = np.repeat(np.arange(4), 10)
    values = np.eye(4, dtype=np.float32)[np.array(named)[labels]][:, None]
    clips = tuple(str(number) for number in range(len(labels)))
    return Scores(RunName("of", "3-level", 1), ("a", "b", "c", "d"), clips, labels, values)


@pytest.mark.parametrize(
    ("losses", "status", "named", "flag"),
    [
        (SETTLED, "done", LEARNED, ""),
        (SETTLED, "done", None, ""),
        (SETTLED, "done", ALL_ONE, "at chance"),
        (SETTLED, "done", TWO_ALONE, "blind to some classes"),
        (RISING, "done", TWO_ALONE, "diverged"),
        (FALLING, "done", LEARNED, "still falling"),
        (FALLING, "training", None, ""),
    ],
)
def test_a_flag_names_what_is_wrong(losses: list[float], status: str, named: list[int] | None, flag: str) -> None:
    rows = tuple({"loss": str(loss), "learning_rate": "0.01"} for loss in losses)
    run = RunStatus("of/3-level/fold1/seed0", status, len(rows), rows)
    assert run.flag(scored(named) if named else None) == flag
