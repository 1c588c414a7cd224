"""Stored scores as a pandas table."""

from pathlib import Path

import numpy as np
import pytest

import stp
from stp.data.run_name import RunName
from stp.evaluation.scores import Scores, write_scores

CLASSES = ("nod", "wave")


def write(path: Path, run: RunName, labels: list[int]) -> None:
    values = np.array([[[0, 0], [2, 0]], [[1, 0], [1, 0]]], np.float32)  # segments' scores: means (1, 0) and (1, 0)
    write_scores(path, Scores(run, CLASSES, ("a", "b"), np.array(labels), values), {})


def test_every_test_clip_of_every_run_below_a_folder_has_a_row(tmp_path: Path) -> None:
    write(tmp_path / "runs/of/3-level/fold1/seed0/scores.h5", RunName("of", "3-level", 1), [0, 1])
    write(tmp_path / "runs/rgb/3-level/fold2/seed7/scores.h5", RunName("rgb", "3-level", 2, 7), [1, 0])
    table = stp.read_score_table(str(tmp_path / "runs"))
    assert list(table) == [
        *("clip", "fold", "seed", "input", "variant", "label", "predicted", "right"),
        *("probability_nod", "probability_wave"),
    ]
    assert table.iloc[0, :8].tolist() == ["a", 1, 0, "OF", "3-level", "nod", "nod", True]
    assert table.iloc[2, :8].tolist() == ["a", 2, 7, "RGB", "3-level", "wave", "nod", False]
    assert table["right"].tolist() == [True, False, False, True]
    assert table.loc[0, "probability_nod"] == pytest.approx(np.e / (np.e + 1))
    only = stp.read_score_table([tmp_path / "runs/of/3-level/fold1/seed0/scores.h5"])
    assert only.equals(table[:2])


def test_a_hidden_label_is_empty_and_never_right(tmp_path: Path) -> None:
    write(tmp_path / "hidden.h5", RunName("of", "3-level", 1), [-1, -1])
    table = stp.read_score_table(tmp_path / "hidden.h5")
    assert table["label"].tolist() == ["", ""]
    assert not table["right"].any()


def test_a_folder_without_scores_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(stp.UserError, match=r"no scores.h5 below it; give RESULTS/runs, or a folder in it$"):
        stp.read_score_table(tmp_path)
