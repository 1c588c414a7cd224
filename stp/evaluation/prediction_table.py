"""Every prediction of every clip, for readers who want to count for themselves."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from stp.config import FusionSpace
from stp.errors import UserError
from stp.evaluation.fused import Predictions, input_name
from stp.evaluation.scores import read_scores
from stp.system.files import paths_of

DIGITS = 4  # of probabilities


def probabilities(item: Predictions, space: FusionSpace) -> np.ndarray:
    """The probability of each class, float (clips, classes), rows of sum 1.

    That is the softmax of fused scores. Where probabilities are fused (`space`), it is their average.
    """
    if space == "scores":
        shares: np.ndarray = softmax(item.scores, axis=1)
        return shares
    total = item.scores.sum(1, keepdims=True)  # 0 where all learned weights are
    return np.divide(item.scores, total, out=np.full(item.scores.shape, 1 / len(item.classes)), where=total > 0)


def prediction_rows(item: Predictions, space: FusionSpace) -> pd.DataFrame:
    """One row per test clip of a fold.

    clip, fold, seed, input, variant
    label, predicted, right         classes by name, and True if they are the same; a hidden label is empty
    probability_CLASS               of each class, as in `probabilities`
    """
    names = np.array([*item.classes, ""], object)  # a hidden label is -1
    predicted = item.classes_predicted()
    rows = pd.DataFrame(
        {
            "clip": item.clips,
            "fold": item.fold,
            "seed": item.seed,
            "input": item.input,
            "variant": item.method,
            "label": names[item.labels],
            "predicted": names[predicted],
            "right": item.labels == predicted,
        }
    )
    columns = [f"probability_{name}" for name in item.classes]
    return rows.join(pd.DataFrame(probabilities(item, space), columns=columns))


def write_predictions(path: Path, predictions: Sequence[tuple[Predictions, FusionSpace]]) -> None:
    """Write the rows of all predictions, each with what it fuses, into one csv file, piece by piece."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, (item, space) in enumerate(predictions):
            prediction_rows(item, space).to_csv(
                file, index=False, header=not number, float_format=f"%.{DIGITS}f", lineterminator="\n"
            )


def read_score_table(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The predictions in scores.h5 files, of one or several, or of all below a folder: the rows of `prediction_rows`.

    Every run stands by itself; predictions.csv has fusions, too.

    Raises:
        UserError: there is no such file, or one is damaged or of another kind.
    """
    files: list[Path] = []
    for path in paths_of(paths):
        files += sorted(path.rglob("scores.h5")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{paths}: no scores.h5 below it; give RESULTS/runs, or a folder in it")
    tables = []
    for file in files:
        item = read_scores(file)
        run = (input_name(item.run.input), item.run.method, item.run.fold, item.run.seed)
        own = Predictions(*run, item.classes, item.coarse, item.clips, item.labels, item.video_scores())
        tables.append(prediction_rows(own, "scores"))
    return pd.concat(tables, ignore_index=True)
