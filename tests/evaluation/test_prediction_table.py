"""predictions.csv: a row for each clip that a fold tests, with names, probabilities and whether it is right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stp.cli import results
from stp.config import Fusion, FusionSpace
from stp.data.run_name import RunName
from stp.evaluation.fused import Predictions, predict
from stp.evaluation.prediction_table import prediction_rows, probabilities
from stp.evaluation.scores import Scores, write_scores

CLASSES = ("nod", "fold, then wave")  # a name that a csv must quote, and that begins as one of its columns


def scores(run_input: str, method: str, fold: int, values: list[list[float]]) -> Scores:
    """Two clips of each fold, one of each class, scored in one segment."""
    clips = tuple(f"clip{fold}{i}" for i in range(2))
    return Scores(RunName(run_input, method, fold), CLASSES, clips, np.arange(2), np.array(values, np.float32)[:, None])


RUNS = [
    scores("rgb", "baseline", 1, [[1, 0], [1, 0]]),
    scores("of", "baseline", 1, [[0, 3], [0, 3]]),
    scores("rgb", "baseline", 2, [[2, 0], [0, 2]]),
    scores("of", "baseline", 2, [[1, 0], [0, 1]]),
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for number, item in enumerate(RUNS):
        paths.append(tmp_path / f"{number}.h5")
        write_scores(paths[-1], item, {})
    return paths


def test_every_clip_has_a_row_for_each_fold_input_and_variant(files: list[Path], tmp_path: Path) -> None:
    results.predictions(files, tmp_path / "p.csv", "rgb=1,of=1")
    table = pd.read_csv(tmp_path / "p.csv")
    columns = ["clip", "fold", "seed", "input", "variant", "label", "predicted", "right"]
    assert list(table) == [*columns, "probability_nod", "probability_fold, then wave"]
    assert table.groupby(["input", "fold"]).size().to_dict() == {
        (name, fold): 2 for name in ("RGB", "OF", "RGB+OF") for fold in (1, 2)
    }
    fused = table[(table["input"] == "RGB+OF") & (table["fold"] == 1)].to_dict("records")
    assert [(row["clip"], row["label"], row["predicted"], row["right"]) for row in fused] == [
        ("clip10", "nod", "fold, then wave", False),
        ("clip11", "fold, then wave", "fold, then wave", True),
    ]
    one = np.exp([0.5, 1.5]) / np.exp([0.5, 1.5]).sum()  # the means of (1, 0) and (0, 3)
    assert [fused[0][name] for name in list(table)[-2:]] == pytest.approx(one, abs=1e-4)
    recognised = table[table["right"]].groupby("input").size()
    assert recognised.to_dict() == {"OF": 3, "RGB": 3, "RGB+OF": 3}


@pytest.mark.parametrize("space", ["scores", "probabilities"])
def test_probabilities_are_those_that_the_prediction_goes_by(space: FusionSpace) -> None:
    for item in predict(RUNS, Fusion(space, {"rgb": 1.0, "of": 2.0}, learned=True)):
        shares = probabilities(item, space)
        assert shares.sum(1) == pytest.approx(1)
        assert np.array_equal(shares.argmax(1), item.classes_predicted())
    single = predict(RUNS[:1], Fusion(space))
    assert probabilities(single[0], space)[0] == pytest.approx(np.exp([1, 0]) / np.exp([1, 0]).sum())


def test_fused_probabilities_of_no_weight_are_even() -> None:
    nothing = Predictions("RGB", "baseline", 1, 0, CLASSES, (), ("a",), np.zeros(1, int), np.zeros((1, 2)))
    assert prediction_rows(nothing, "probabilities").iloc[0, -2:].tolist() == [0.5, 0.5]


def test_methods_fused_with_each_other_have_rows_too(tmp_path: Path) -> None:
    paths = []
    for method in ("tsm", "trn"):
        paths.append(tmp_path / f"{method}.h5")
        write_scores(paths[-1], scores("rgb", method, 1, [[2, 0], [0, 1]]), {})
    results.predictions(paths, tmp_path / "p.csv", combined=["both:tsm=1,trn=1"])
    assert set(pd.read_csv(tmp_path / "p.csv")["variant"]) == {"tsm", "trn", "both"}
