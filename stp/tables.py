"""Tables: accuracies of every input and variant over the folds (paper section 4.2, Table 1)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from stp.errors import UserError
from stp.scores import FUSION_ORDER, FusionSpace, Scores, fuse

INPUTS = (("rgb",), ("of",), ("wof",), ("rgb", "of"), ("of", "wof"), ("rgb", "of", "wof"))


def input_name(streams: Sequence[str]) -> str:
    """RGB+OF+WOF, as the paper writes it."""
    return "+".join(streams).upper()


def column(variant: str) -> int:
    """Place of a variant among Table 1's columns: baseline, 1-level, 2-level, ..."""
    return 0 if variant == "baseline" else int(variant.removesuffix("-level"))


def group_by_fold(scores: Sequence[Scores]) -> dict[tuple[str, int], dict[str, Scores]]:
    """Runs by (variant, fold), baseline first, then by modality.

    Refuses other classes, other test clips of the same fold, and runs given twice.
    """
    groups: dict[tuple[str, int], dict[str, Scores]] = {}
    folds: dict[int, Scores] = {}
    for run in sorted(scores, key=lambda run: (column(run.variant), run.fold, FUSION_ORDER.index(run.modality))):
        if run.classes != scores[0].classes:
            raise UserError(f"scores of {run.modality}/{run.variant}/fold{run.fold} are of other classes; run it again")
        first = folds.setdefault(run.fold, run)
        if run.clips != first.clips or not np.array_equal(run.labels, first.labels):
            raise UserError(
                f"scores of {run.modality}/{run.variant}/fold{run.fold} and of {first.modality}/{first.variant}/"
                f"fold{first.fold} are of another index or other folds; run both again"
            )
        group = groups.setdefault((run.variant, run.fold), {})
        if run.modality in group:
            raise UserError(
                f"scores of {run.modality}/{run.variant}/fold{run.fold} are given twice; give each run once"
            )
        group[run.modality] = run
    return groups


def fold_accuracies(scores: Sequence[Scores], weights: Mapping[str, float], space: FusionSpace) -> pd.DataFrame:
    """One row an input, variant and fold: number of test clips, class accuracy and accuracy, both 0..100.

    Class accuracy is the mean over classes of the share of their clips recognised (paper: "average accuracies over
    all actions"), over the classes that the fold tests; accuracy is the share of all clips.
    """
    rows = []
    groups = group_by_fold(scores)
    for streams in INPUTS:
        for (variant, fold), runs in groups.items():
            if not set(streams) <= set(runs):
                continue
            chosen = [runs[stream] for stream in streams]
            labels, predictions = chosen[0].labels, fuse(chosen, weights, space).argmax(1)
            class_accuracy = 100 * recall_score(labels, predictions, labels=np.unique(labels), average="macro")
            accuracy = 100 * accuracy_score(labels, predictions)
            rows.append((input_name(streams), variant, fold, len(labels), class_accuracy, accuracy))
    return pd.DataFrame(rows, columns=["input", "variant", "fold", "clips", "class_accuracy", "accuracy"])


def summarise(folds: pd.DataFrame) -> pd.DataFrame:
    """Mean over folds and sample standard deviation of both metrics, one row an input and variant."""
    grouped = folds.groupby(["input", "variant"], sort=False)
    return grouped.agg(
        clips=("clips", "sum"),
        class_accuracy=("class_accuracy", "mean"),
        class_accuracy_std=("class_accuracy", "std"),
        accuracy=("accuracy", "mean"),
        accuracy_std=("accuracy", "std"),
    ).reset_index()


def long_table(folds: pd.DataFrame) -> pd.DataFrame:
    """Every fold, and below the folds of each input and variant their mean with standard deviations."""
    summary = summarise(folds).assign(fold="mean")
    order = {key: i for i, key in enumerate(zip(summary["input"], summary["variant"], strict=True))}
    table = pd.concat([folds.assign(fold=folds["fold"].astype(str)), summary], ignore_index=True)
    place = [order[key] for key in zip(table["input"], table["variant"], strict=True)]
    table = table.assign(place=place, last=table["fold"] == "mean").sort_values(["place", "last"], kind="stable")
    columns = ["input", "variant", "fold", "clips", "class_accuracy", "class_accuracy_std", "accuracy", "accuracy_std"]
    return table[columns].round(4).reset_index(drop=True)


def table1(summary: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 1: inputs down, variants across, mean class accuracy over the folds in percent."""
    variants = list(dict.fromkeys(summary["variant"]))
    table = summary.pivot(index="input", columns="variant", values="class_accuracy")
    table = table.loc[list(dict.fromkeys(summary["input"])), variants].round(2)
    table.columns = [name.capitalize().replace("-level", "-Level") for name in variants]
    return table.rename_axis("Input Modality").reset_index()


def table1_text(summary: pd.DataFrame, notes: Sequence[str]) -> str:
    """Table 1 for reading: mean class accuracy and standard deviation over folds, with notes, as Markdown."""
    table = table1(summary)
    columns = list(dict.fromkeys(summary["variant"]))
    spread = summary.set_index(["input", "variant"])["class_accuracy_std"]
    for name, title in zip(columns, table.columns[1:], strict=True):
        table[title] = [
            f"{value:.1f}" + ("" if np.isnan(spread[row, name]) else f" ± {spread[row, name]:.1f}")
            for row, value in zip(table["Input Modality"], table[title], strict=True)
        ]
    lines = ["# Table 1", "", "Mean class accuracy over the folds in %, ± standard deviation of the folds.", ""]
    lines += [table.to_markdown(index=False, disable_numparse=True), ""]
    return "\n".join(lines + [f"- {note}" for note in notes]) + "\n"


def fold_confusions(
    scores: Sequence[Scores], weights: Mapping[str, float], space: FusionSpace
) -> dict[int, np.ndarray]:
    """Confusion matrix of each fold, rows true and columns predicted, int64 (classes, classes); streams are fused."""
    matrices = {}
    for (_, fold), runs in group_by_fold(scores).items():
        chosen = list(runs.values())
        predictions = fuse(chosen, weights, space).argmax(1)
        matrices[fold] = confusion_matrix(chosen[0].labels, predictions, labels=range(len(chosen[0].classes)))
    return matrices
