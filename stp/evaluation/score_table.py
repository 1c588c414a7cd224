"""Stored scores as a table of predictions, for readers who count and plot by themselves."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from stp.errors import UserError
from stp.evaluation.fused import input_name
from stp.evaluation.scores import Scores, read_scores
from stp.system.files import paths_of


def score_rows(scores: Scores) -> pd.DataFrame:
    """One row per test clip of a run, in the order of the scores.

    clip, fold, seed, input, variant
    label, predicted, right         classes by name, and True if they are the same; a hidden label is empty
    probability_CLASS               of each class: the softmax of the clip's scores
    """
    values = scores.video_scores()
    names, predicted = np.array([*scores.classes, ""], object), values.argmax(1)
    rows = pd.DataFrame(
        {
            "clip": scores.clips,
            "fold": scores.run.fold,
            "seed": scores.run.seed,
            "input": input_name(scores.run.input),
            "variant": scores.run.method,
            "label": names[scores.labels],
            "predicted": names[predicted],
            "right": scores.labels == predicted,
        }
    )
    columns = [f"probability_{name}" for name in scores.classes]
    return rows.join(pd.DataFrame(softmax(values.astype(np.float64), axis=1), columns=columns))


def read_score_table(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The rows (`score_rows`) of scores.h5 files, one after another: of one or several, or of all below a folder.

    Raises:
        UserError: there is no such file, or one is damaged or of another kind.
    """
    files = [
        file for path in paths_of(paths) for file in (sorted(path.rglob("scores.h5")) if path.is_dir() else [path])
    ]
    if not files:
        raise UserError(f"{paths}: no scores.h5 below it; give RESULTS/runs, or a folder in it")
    return pd.concat([score_rows(read_scores(file)) for file in files], ignore_index=True)
