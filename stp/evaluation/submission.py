"""Submissions to the server of a hidden test set: the likeliest classes and coarser classes of each clip."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from stp.config import Fusion
from stp.errors import UserError
from stp.evaluation.fused import group_by_fold
from stp.evaluation.scores import Scores, fuse

RANKS = 5


def submission_table(scores: Sequence[Scores], fusion: Fusion) -> pd.DataFrame:
    """One row per clip: `vid`, its id, then the five likeliest actions and body parts, as numbers, likeliest first.

    Actions are ranked by the fused scores, averaged over seeds. A body part's probability is the sum of its actions'
    probabilities, so the likeliest body part need not be that of the likeliest action. Classes and coarser classes are
    numbered in the order in which they appear in the index. Among equals, the lower number comes first.

    Raises:
        UserError: the scores are of several variants or folds, or of fewer than five classes or coarser classes.
    """
    groups = group_by_fold(scores)
    names = list(dict.fromkeys(f"{variant}/fold{fold}" for variant, fold, _ in groups))
    if len(names) != 1:
        raise UserError(f"submission: give the scores of one variant and fold, not of {', '.join(names)}")
    first = scores[0]
    parts = tuple(dict.fromkeys(first.coarse))
    if min(len(first.classes), len(parts)) < RANKS:
        raise UserError(
            f"submission: {RANKS} classes and coarser classes are ranked, here are {len(first.classes)} and "
            f"{len(parts)}; the index's column coarse names the coarser class of each clip"
        )
    fused = np.mean([fuse(list(runs.values()), fusion) for runs in groups.values()], axis=0)  # over seeds
    probabilities = fused if fusion.space == "probabilities" else softmax(fused, axis=1)
    members = np.array([[part == name for part in parts] for name in first.coarse], dtype=float)  # (classes, parts)
    columns: dict[str, Sequence[object]] = {"vid": first.clips}
    for name, values in (("action", fused), ("body", probabilities @ members)):
        ranked = np.argsort(-values, axis=1, kind="stable")[:, :RANKS]
        columns |= {f"{name}_pred_{rank}": ranked[:, rank - 1].tolist() for rank in range(1, RANKS + 1)}
    return pd.DataFrame(columns)
