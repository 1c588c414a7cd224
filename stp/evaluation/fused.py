"""Predictions: the fused scores of one input and variant on a fold's test clips, for tables and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stp.errors import UserError
from stp.evaluation.scores import FUSION_ORDER, FusionSpace, Scores, fuse

INPUTS = (("rgb",), ("of",), ("wof",), ("rgb", "of"), ("of", "wof"), ("rgb", "of", "wof"))


def input_name(streams: Sequence[str]) -> str:
    """RGB+OF+WOF, as the paper writes it."""
    return "+".join(streams).upper()


def column(variant: str) -> int:
    """Place of a variant among Table 1's columns: baseline, 1-level, 2-level, ..."""
    return 0 if variant == "baseline" else int(variant.removesuffix("-level"))


@dataclass(frozen=True)
class Predictions:
    """What an input (RGB, OF, RGB+OF, ...) and variant say of a fold's test clips after training from a seed.

    `scores` is float (clips, classes), `labels` int64 (clips,); `classes` and `coarse` are as in
    `stp.evaluation.scores.Scores`.
    """

    input: str
    variant: str
    fold: int
    seed: int
    classes: tuple[str, ...]
    coarse: tuple[str, ...]
    clips: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray

    def classes_predicted(self) -> np.ndarray:
        """Number of the class with the highest score, int64 (clips,)."""
        predicted: np.ndarray = self.scores.argmax(1)
        return predicted


def group_by_fold(scores: Sequence[Scores]) -> dict[tuple[str, int, int], dict[str, Scores]]:
    """Runs by (variant, fold, seed), baseline first, then by modality.

    Refuses other classes, other test clips of the same fold, and runs given twice.
    """
    groups: dict[tuple[str, int, int], dict[str, Scores]] = {}
    folds: dict[int, Scores] = {}
    for run in sorted(scores, key=lambda run: (column(run.variant), run.fold, run.seed, _stream(run))):
        if (run.classes, run.coarse) != (scores[0].classes, scores[0].coarse):
            raise UserError(f"scores of {run.run} are of other classes; run it again")
        first = folds.setdefault(run.fold, run)
        if run.clips != first.clips or not np.array_equal(run.labels, first.labels):
            raise UserError(
                f"scores of {run.run} and of {first.run} are of another index or other folds; run both again"
            )
        group = groups.setdefault((run.variant, run.fold, run.seed), {})
        if run.modality in group:
            raise UserError(f"scores of {run.run} are given twice; give each run once")
        group[run.modality] = run
    return groups


def _stream(run: Scores) -> int:
    return FUSION_ORDER.index(run.modality)


def predict(scores: Sequence[Scores], weights: Mapping[str, float], space: FusionSpace) -> list[Predictions]:
    """Predictions of every input whose streams are there, in the order of Table 1's rows, then variant, fold and seed.

    Refuses, beside what `group_by_fold` does, an input and variant that lack a fold of some seed: means over folds and
    over seeds would not agree.
    """
    found = []
    groups = group_by_fold(scores)
    for streams in INPUTS:
        for (variant, fold, seed), runs in groups.items():
            if not set(streams) <= set(runs):
                continue
            chosen = [runs[stream] for stream in streams]
            first, values = chosen[0], fuse(chosen, weights, space)
            where = (input_name(streams), variant, fold, seed)
            found.append(Predictions(*where, first.classes, first.coarse, first.clips, first.labels, values))
    _check_complete(found)
    return found


def _check_complete(predictions: Sequence[Predictions]) -> None:
    present: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for item in predictions:
        present.setdefault((item.input, item.variant), set()).add((item.fold, item.seed))
    for (name, variant), pairs in present.items():
        whole = {(fold, seed) for fold, _ in pairs for _, seed in pairs}
        if missing := sorted(whole - pairs):
            fold, seed = missing[0]
            raise UserError(
                f"scores of {name} {variant} lack fold{fold}/seed{seed}, but others have that fold or that seed; "
                "give every fold of every seed"
            )


def clip_outcomes(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row a test, in the order of fold and seed: clip, label, fold, seed, correct (0 or 1)."""
    tests = [
        pd.DataFrame({"clip": item.clips, "label": item.labels, "correct": item.classes_predicted() == item.labels})
        .astype({"correct": float})
        .assign(fold=item.fold, seed=item.seed)
        for item in sorted(predictions, key=lambda item: (item.fold, item.seed))
    ]
    return pd.concat(tests, ignore_index=True)


def clip_shares(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Label of every clip in `clip_outcomes`, and the share 0..1 of its tests (folds, seeds) that recognised it."""
    return outcomes.groupby("clip", sort=False).agg(label=("label", "first"), share=("correct", "mean"))
