"""Submissions to the server of a hidden test set: the likeliest classes of each clip, and their coarser classes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stp.config import Fusion
from stp.errors import UserError
from stp.evaluation.fused import group_by_fold
from stp.evaluation.scores import Scores, fuse

RANKS = 5


def submission_table(scores: Sequence[Scores], fusion: Fusion) -> pd.DataFrame:
    """One row per clip: `vid`, its id, then the five likeliest actions, likeliest first, and their body parts.

    Actions are ranked by the fused scores, averaged over seeds. The body part of each rank is that of its action, as in
    Micro-Action 52's own script and in `stp.evaluation.metrics.measure`; a part may come twice. Classes and coarser
    classes are given as numbers, in the order in which they appear in the index. Among equal scores, the class with the
    lower number comes first.

    Raises:
        UserError: the scores are of several variants or folds, of fewer than five classes, or without coarser classes.
    """
    groups = group_by_fold(scores)
    names = list(dict.fromkeys(f"{variant}/fold{fold}" for variant, fold, _ in groups))
    if len(names) != 1:
        raise UserError(f"submission: give the scores of one variant and fold, not of {', '.join(names)}")
    first = scores[0]
    if len(first.classes) < RANKS or not first.coarse:
        raise UserError(
            f"submission: the coarser classes of {RANKS} classes are given, here are {len(first.classes)} classes with "
            f"{len(set(first.coarse))} coarser ones; the index's column coarse names the coarser class of each clip"
        )
    fused = np.mean([fuse(list(runs.values()), fusion) for runs in groups.values()], axis=0)  # over seeds
    actions = np.argsort(-fused, axis=1, kind="stable")[:, :RANKS]
    parts = list(dict.fromkeys(first.coarse))
    part_of = np.array([parts.index(name) for name in first.coarse])  # of each class
    columns: dict[str, Sequence[object]] = {"vid": first.clips}
    for name, ranked in (("action", actions), ("body", part_of[actions])):
        columns |= {f"{name}_pred_{rank}": ranked[:, rank - 1].tolist() for rank in range(1, RANKS + 1)}
    return pd.DataFrame(columns)
