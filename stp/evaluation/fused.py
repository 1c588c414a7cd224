"""Predictions: the fused scores of one input and variant on a fold's test clips, for tables and figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stp.config import FUSED, Fusion, FusionSpace
from stp.data.run_name import RunName, method_order
from stp.errors import UserError
from stp.evaluation.learned import learned_weights
from stp.evaluation.scores import Scores, fuse


def input_name(run_input: str) -> str:
    """The name of an input as the paper writes it, such as RGB+OF+WOF."""
    return run_input.upper()


@dataclass(frozen=True)
class Predictions:
    """Fused scores of a fold's test clips, from an input (RGB, OF, RGB+OF, ...) and a method trained from a seed.

    `scores` is float (clips, classes), `labels` int64 (clips,); `classes` and `coarse` are as in
    `stp.evaluation.scores.Scores`.
    """

    input: str
    method: str
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
    """Scores grouped by (method, fold, seed), baseline first, and by input within a group.

    Methods that are not pyramids stay in the order given, and so do inputs that the paper does not fuse.

    Raises:
        UserError: scores of different classes, of different test clips of the same fold, or of a run given twice; or
            those of a run are missing: every method needs each of its inputs in every fold, from each of its seeds.
    """
    groups: dict[tuple[str, int, int], dict[str, Scores]] = {}
    folds: dict[int, Scores] = {}
    methods = list(dict.fromkeys(item.run.method for item in scores))

    def order(item: Scores) -> tuple[object, ...]:
        run = item.run
        return *method_order(run.method), methods.index(run.method), run.fold, run.seed, _stream(run.input)

    for item in sorted(scores, key=order):
        run = item.run
        if (item.classes, item.coarse) != (scores[0].classes, scores[0].coarse):
            raise UserError(f"scores of {run} are of other classes; run it again")
        first = folds.setdefault(run.fold, item)
        if item.clips != first.clips or not np.array_equal(item.labels, first.labels):
            raise UserError(f"scores of {run} and of {first.run} are of another index or other folds; run both again")
        group = groups.setdefault((run.method, run.fold, run.seed), {})
        if run.input in group:
            raise UserError(f"scores of {run} are given twice; give each run once")
        group[run.input] = item
    _check_labels(folds.values())
    _check_complete([item.run for item in scores])
    return groups


def _check_labels(folds: Iterable[Scores]) -> None:
    """Raise a UserError if a clip that several folds test has two labels."""
    known: dict[str, tuple[int, RunName]] = {}
    for item in folds:
        for clip, label in zip(item.clips, item.labels.tolist(), strict=True):
            other, run = known.setdefault(clip, (label, item.run))
            if label != other:
                raise UserError(f"clip '{clip}' has other labels in scores of {item.run} and of {run}; run both again")


def _check_complete(runs: Sequence[RunName]) -> None:
    """Raise a UserError if a run is missing without which a fold's figure, or a mean, would be of fewer runs."""
    folds = sorted({run.fold for run in runs})
    for method in dict.fromkeys(run.method for run in runs):
        own = {run for run in runs if run.method == method}
        inputs, seeds = (sorted({getattr(run, name) for run in own}) for name in ("input", "seed"))
        whole = [RunName(name, method, fold, seed) for name in inputs for fold in folds for seed in seeds]
        if missing := [str(run) for run in whole if run not in own]:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise UserError(
                f"scores of {', '.join(missing[:3])}{more} are missing: give those of every fold and seed for each "
                f"input of {method}"
            )


LEARNED = ", learned"  # behind the names of inputs that are fused with learned weights
STREAMS = FUSED[-1]  # the single streams, in the order of Table 1's rows


def _stream(run_input: str) -> int:
    return STREAMS.index(run_input) if run_input in STREAMS else len(STREAMS)


def inputs_of(groups: Sequence[dict[str, Scores]]) -> list[tuple[str, ...]]:
    """The inputs to predict from: single streams, then their fusions, both in the order of Table 1, then all others."""
    present = dict.fromkeys(name for runs in groups for name in runs)
    others = [(name,) for name in present if name not in STREAMS]
    return [*((name,) for name in STREAMS), *FUSED, *others]


def predict(scores: Sequence[Scores], fusion: Fusion) -> list[Predictions]:
    """Predictions of every input that has all its streams, in the order of Table 1's rows, then method, fold and seed.

    Those of learned fusions come last, if `fusion.learned`.

    Raises:
        UserError: as for `group_by_fold`; a method has a joint run and runs whose fusion has the same name; a fold's
            weights cannot be learned.
    """
    found, seen = [], set()
    groups = group_by_fold(scores)
    for streams in inputs_of(list(groups.values())):
        for (method, fold, seed), runs in groups.items():
            if not set(streams) <= set(runs):
                continue
            chosen = [runs[stream] for stream in streams]
            first, values = chosen[0], fuse(chosen, fusion)
            where = (input_name("+".join(streams)), method, fold, seed)
            if where in seen:
                raise UserError(
                    f"scores of {first.run} and the fusion of its inputs would be one row, {where[0]} of {method}; "
                    "give those of one of them"
                )
            seen.add(where)
            found.append(Predictions(*where, first.classes, first.coarse, first.clips, first.labels, values))
    if fusion.learned:
        found += [predictions for predictions, _ in learned_fusions(scores, fusion.space)]
    return found


def learned_fusions(scores: Sequence[Scores], space: FusionSpace) -> list[tuple[Predictions, dict[str, float]]]:
    """Predictions of every fused input with learned weights, and these weights by stream.

    An input is called such as RGB+OF, learned; the order is that of `predict`.

    Raises:
        UserError: as for `group_by_fold`; a fold's weights cannot be learned (`stp.evaluation.learned`).
    """
    found = []
    groups = group_by_fold(scores)
    for streams in FUSED:
        fused = {key: [runs[name] for name in streams] for key, runs in groups.items() if set(streams) <= set(runs)}
        for (method, fold, seed), own in fused.items():
            others = [runs for key, runs in fused.items() if (key[0], key[2]) == (method, seed) and key[1] != fold]
            weights = learned_weights(own, others, space)
            values = np.tensordot(weights, np.stack([stream.fused_values(space) for stream in own]), 1)
            first, where = own[0], (input_name("+".join(streams)) + LEARNED, method, fold, seed)
            predictions = Predictions(*where, first.classes, first.coarse, first.clips, first.labels, values)
            found.append((predictions, dict(zip(streams, weights.tolist(), strict=True))))
    return found


def clip_outcomes(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row per test, in the order of fold and seed: clip, label, fold, seed, correct (0 or 1)."""
    tests = [
        pd.DataFrame({"clip": item.clips, "label": item.labels, "correct": item.classes_predicted() == item.labels})
        .astype({"correct": float})
        .assign(fold=item.fold, seed=item.seed)
        for item in sorted(predictions, key=lambda item: (item.fold, item.seed))
    ]
    return pd.concat(tests, ignore_index=True)


def outcomes_by_cell(predictions: Sequence[Predictions]) -> dict[tuple[str, str], pd.DataFrame]:
    """`clip_outcomes` by input and method, in the order given."""
    groups: dict[tuple[str, str], list[Predictions]] = {}
    for item in predictions:
        groups.setdefault((item.input, item.method), []).append(item)
    return {cell: clip_outcomes(items) for cell, items in groups.items()}


def clip_shares(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Label of every clip in `clip_outcomes`, and the share of its tests (folds, seeds) that recognised it, 0..1."""
    return outcomes.groupby("clip", sort=False).agg(label=("label", "first"), share=("correct", "mean"))
