"""Metrics of one input, variant, fold and seed, computed from its predictions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, recall_score, top_k_accuracy_score

from stp.evaluation.fused import Predictions
from stp.evaluation.markdown import table_text, version_note, with_deviation

KEYS = ("input", "variant", "fold", "seed", "clips")
METRICS = (
    "class_accuracy",
    "accuracy",
    "top5",
    "f1_macro",
    "f1_micro",
    "coarse_f1_macro",
    "coarse_f1_micro",
    "f1_mean",
)


def f1_scores(labels: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Macro F1 over the classes with test clips, and micro F1 (with one label per clip equal to accuracy), 0..100."""
    macro = f1_score(labels, predicted, labels=np.unique(labels), average="macro")
    return 100 * float(macro), 100 * float(f1_score(labels, predicted, average="micro"))


def measure(item: Predictions, names: Sequence[str] = METRICS) -> dict[str, float]:
    """METRICS by these names, in percent; NaN if a metric is not defined for the data.

    class_accuracy   share of each class's clips that are recognised, averaged over the classes that the fold tests
                     (paper section 4.1: "average accuracies over all actions")
    accuracy         share of all clips that are recognised (top-1)
    top5             share of clips with their class among the 5 with the highest scores; NaN for 5 or fewer classes
    f1_macro, f1_micro, coarse_f1_macro, coarse_f1_micro
                     F1 of the classes and of the coarser classes; the predicted coarser class is that of the predicted
                     class
    f1_mean          mean of these four (the metric of Micro-Action 52, Guo et al. 2024)
    """
    labels, predicted, number = item.labels, item.classes_predicted(), len(item.classes)
    values = dict.fromkeys(METRICS, float("nan"))
    values["class_accuracy"] = 100 * recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    values["accuracy"] = 100 * accuracy_score(labels, predicted)
    if number > 5 and "top5" in names:
        values["top5"] = 100 * top_k_accuracy_score(labels, item.scores, k=5, labels=np.arange(number))
    if any("f1" in name for name in names):
        values["f1_macro"], values["f1_micro"] = f1_scores(labels, predicted)
        if item.coarse:
            coarse = np.unique(item.coarse, return_inverse=True)[1]
            values["coarse_f1_macro"], values["coarse_f1_micro"] = f1_scores(coarse[labels], coarse[predicted])
            four = ("f1_macro", "f1_micro", "coarse_f1_macro", "coarse_f1_micro")
            values["f1_mean"] = float(np.mean([values[name] for name in four]))
    return {name: values[name] for name in names}


def fold_metrics(predictions: Sequence[Predictions], names: Sequence[str] = METRICS) -> pd.DataFrame:
    """One row per input, variant, fold and seed: KEYS, then METRICS by these names, in percent.

    Fewer names take less time: F1 takes most of it.
    """
    rows = [
        (item.input, item.method, item.fold, item.seed, len(item.labels), *measure(item, names).values())
        for item in predictions
    ]
    return pd.DataFrame(rows, columns=[*KEYS, *names])


def summarise(folds: pd.DataFrame) -> pd.DataFrame:
    """Means and sample standard deviations of every metric in `folds`, one row per input and variant.

    A fold's figure is its mean over seeds. NAME and NAME_std are the mean and the deviation of the folds' figures.
    NAME_seed_std is the deviation over seeds of the mean over folds; it is NaN for one seed. `clips` is the number of
    tests of one seed: a clip that several folds test counts once in each.
    """
    keys = ["input", "variant"]
    names = [name for name in folds.columns if name not in KEYS]
    one_seed = folds[folds["seed"] == folds.groupby(keys)["seed"].transform("min")]
    summary = one_seed.groupby(keys, sort=False)[["clips"]].sum()
    by_fold = folds.groupby([*keys, "fold"], sort=False)[names].mean().groupby(keys, sort=False)
    by_seed = folds.groupby([*keys, "seed"], sort=False)[names].mean().groupby(keys, sort=False)
    for name in names:
        summary[name] = by_fold[name].mean()
        summary[f"{name}_std"] = by_fold[name].std()
        summary[f"{name}_seed_std"] = by_seed[name].std()
    return summary.reset_index()


def heading(metric: str) -> str:
    """A metric's name for reading, such as F1 macro."""
    words = metric.replace("top5", "top 5").replace("f1", "F1").replace("_", " ")
    return words[0].upper() + words[1:]


def metrics_table(folds: pd.DataFrame) -> pd.DataFrame:
    """Mean over folds and seeds of every metric, one row per input and variant."""
    return summarise(folds)[["input", "variant", "clips", *METRICS]].round(4)


def metrics_text(table: pd.DataFrame) -> str:
    """The table as Markdown; metrics that are not defined for these data are left out."""
    shown = table.drop(columns="clips").dropna(axis=1, how="all")
    for name in shown.columns[2:]:
        shown[name] = [with_deviation(value, float("nan")) for value in shown[name]]
    shown.columns = ["Input", "Variant", *map(heading, shown.columns[2:])]
    caption = "Means over folds and seeds, in %; F1 micro equals accuracy where a clip has one label."
    return table_text("Metrics", caption, shown, [version_note()])
