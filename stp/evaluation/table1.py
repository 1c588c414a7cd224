"""Table 1: accuracies of every input and variant over the folds (paper section 4.2), and their confusion matrices."""

from collections.abc import Sequence
from math import nan

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from stp.config import Fusion
from stp.data.run_name import method_order
from stp.evaluation.fused import Predictions, group_by_fold, input_name
from stp.evaluation.markdown import table_text, with_deviation
from stp.evaluation.metrics import fold_metrics, summarise
from stp.evaluation.scores import Scores, fuse

ACCURACIES = ("class_accuracy", "accuracy")


def fold_accuracies(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row per input, variant, fold and seed: number of test clips, class accuracy and accuracy, both 0..100."""
    return fold_metrics(predictions, ACCURACIES)


def long_table(folds: pd.DataFrame) -> pd.DataFrame:
    """One row per fold and seed and, below those of each input and variant, a row of means and standard deviations."""
    summary = summarise(folds).assign(fold="mean", seed="mean")
    order = {key: i for i, key in enumerate(zip(summary["input"], summary["variant"], strict=True))}
    table = pd.concat([folds.astype({"fold": str, "seed": str}), summary], ignore_index=True)
    place = [order[key] for key in zip(table["input"], table["variant"], strict=True)]
    table = table.assign(place=place, last=table["fold"] == "mean").sort_values(["place", "last"], kind="stable")
    figures = [f"{name}{part}" for name in ACCURACIES for part in ("", "_std", "_seed_std")]
    return table[["input", "variant", "fold", "seed", "clips", *figures]].round(4).reset_index(drop=True)


def table1(summary: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 1, one row per input, one column per variant: mean class accuracy over folds and seeds in %."""
    return _by_variant(summary, summary["class_accuracy"].round(2))


def table1_text(summary: pd.DataFrame, notes: Sequence[str], reported: pd.DataFrame | None = None) -> str:
    """Table 1 as Markdown: mean class accuracy and standard deviation over folds, with notes.

    With `reported` figures (`stp.evaluation.comparison.read_reported`), the reported class accuracy of the same input
    and variant stands beside, in brackets.
    """
    figures = zip(summary["class_accuracy"], summary["class_accuracy_std"], strict=True)
    cells = pd.Series([with_deviation(*figure) for figure in figures], summary.index)
    caption = "Mean class accuracy over the folds in %, ± standard deviation of the folds."
    if reported is not None:
        reported = reported[reported["metric"] == "class_accuracy"].dropna(subset="reported")
        keys = zip(reported["streams"].map(input_name), reported["variant"], strict=True)
        printed = {
            key: f" ({with_deviation(value, nan)})" for key, value in zip(keys, reported["reported"], strict=True)
        }
        cells += [printed.get(key, "") for key in zip(summary["input"], summary["variant"], strict=True)]
        sources = zip(reported["source"].str.rstrip("."), reported["data"], strict=True)
        words = "; ".join(dict.fromkeys(f"{source}, of {data}" for source, data in sources))
        caption, notes = f"{caption} In brackets what is reported.", [f"In brackets: {words}.", *notes]
    return table_text("Table 1", caption, _by_variant(summary, cells), notes)


def heading(method: str) -> str:
    """A pyramid as Table 1 heads its columns, such as 3-Level; other methods by their own names."""
    is_pyramid = method_order(method) < (2, 0)
    return method.capitalize().replace("-level", "-Level") if is_pyramid else method


def _by_variant(summary: pd.DataFrame, cells: pd.Series) -> pd.DataFrame:
    """The cells, one per row of the summary, with a row per input and a column per variant, in the summary's order."""
    variants = list(dict.fromkeys(summary["variant"]))
    table = summary.assign(cell=cells).pivot(index="input", columns="variant", values="cell")
    table = table.loc[list(dict.fromkeys(summary["input"])), variants]
    table.columns = [heading(name) for name in variants]
    return table.rename_axis("Input Modality").reset_index()


def fold_confusions(scores: Sequence[Scores], fusion: Fusion) -> dict[int, np.ndarray]:
    """Confusion matrix of each fold, rows true and columns predicted, int64 (classes, classes).

    Streams are fused, and a clip counts once per seed.
    """
    matrices: dict[int, np.ndarray] = {}
    for (_, fold, _), runs in group_by_fold(scores).items():
        chosen = list(runs.values())
        predicted = fuse(chosen, fusion).argmax(1)
        matrix = confusion_matrix(chosen[0].labels, predicted, labels=range(len(chosen[0].classes)))
        matrices[fold] = matrices.get(fold, 0) + matrix
    return matrices
