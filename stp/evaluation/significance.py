"""Statistics for the tables: how certain a class accuracy is, and whether a variant differs from the baseline.

Three spreads are given side by side, because they answer different questions: between folds (different test and
training clips), between seeds (the same data, trained again), and a bootstrap over test clips (the same networks).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from stp.errors import UserError
from stp.evaluation.fused import Predictions, clip_outcomes, clip_shares
from stp.evaluation.markdown import table_text, version_note, with_deviation
from stp.evaluation.metrics import fold_metrics, summarise

DRAWS_AT_ONCE = 2**22  # clips drawn at once: the resamples in memory then take about 100 MB


def bootstrap_intervals(
    labels: np.ndarray, shares: np.ndarray, resamples: int, seed: int, level: float = 0.95
) -> np.ndarray:
    """Percentile intervals of the class accuracies of several methods, by resampling clips.

    Args:
        labels: int (clips,).
        shares: float (clips, methods), how often each method recognised each clip, 0..1.
        resamples: number of resamples; each draws as many clips as there are, with replacement, whatever their class.
        seed: seed of the drawing; every method is measured on the same resamples.
        level: confidence level of the interval, 0..1.

    Returns:
        float (methods, 2), low and high in percent. A class without clips in a resample does not count in it.
    """
    classes, number = np.unique(labels, return_inverse=True)
    member = np.eye(len(classes))[number]  # (clips, classes)
    rng, clips, accuracies = np.random.default_rng(seed), len(labels), []
    at_once = max(1, DRAWS_AT_ONCE // clips)
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn = rng.integers(0, clips, (rows, clips)) + clips * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * clips).reshape(rows, clips).astype(float)
        totals = counts @ member
        hits = np.stack([counts @ (member * method[:, None]) for method in shares.T])  # (methods, rows, classes)
        recalls = np.divide(hits, totals, out=np.full(hits.shape, np.nan), where=totals > 0)
        accuracies.append(100 * np.nanmean(recalls, axis=2))
    sides = [50 * (1 - level), 50 * (1 + level)]
    intervals: np.ndarray = np.percentile(np.concatenate(accuracies, axis=1), sides, axis=1).T
    return intervals


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test of two methods on the same clips, bool (clips,): recognised or not.

    Returns the number of clips that only the first recognises, the number that only the second recognises, and the
    two-sided p: the probability of this or a more unequal division if both were equally likely (binomial). It is 1 if
    the methods never differ.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    different = only_first + only_second
    p = binomtest(only_first, different, 0.5).pvalue if different else 1.0
    return only_first, only_second, float(p)


def _first_outcomes(outcomes: pd.DataFrame) -> pd.Series:
    """The outcome of each clip with the lowest seed, in the first fold that tests it: bool (recognised) by clip."""
    lowest = outcomes[outcomes["seed"] == outcomes["seed"].min()]
    return lowest.drop_duplicates("clip").set_index("clip")["correct"].astype(bool)


def against(
    other: pd.DataFrame | None, outcomes: pd.DataFrame, name: str, other_name: str
) -> tuple[object, object, object]:
    """McNemar's test of a method against another, from their `clip_outcomes`.

    Three times None if there is no other method, or if it is the method itself.
    """
    if other is None or other is outcomes:
        return None, None, None
    first, second = _first_outcomes(other), _first_outcomes(outcomes)
    if not first.index.equals(second.index):
        raise UserError(f"scores of {name} and of {other_name} are of other folds; give the same folds of both")
    return mcnemar(first.to_numpy(), second.to_numpy())


def _intervals(
    clips: Mapping[tuple[str, str], pd.DataFrame], resamples: int, seed: int
) -> dict[tuple[str, str], np.ndarray]:
    """Bootstrap intervals by input and variant; those with the same clips share their resamples."""
    alike: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for key, shares in clips.items():
        alike.setdefault(tuple(shares.index), []).append(key)
    found: dict[tuple[str, str], np.ndarray] = {}
    for keys in alike.values():
        columns = np.stack([clips[key]["share"].to_numpy() for key in keys], axis=1)
        intervals = bootstrap_intervals(clips[keys[0]]["label"].to_numpy(), columns, resamples, seed)
        found |= dict(zip(keys, intervals, strict=True))
    return found


def statistics_table(predictions: Sequence[Predictions], resamples: int, seed: int) -> pd.DataFrame:
    """One row per input and variant.

    clips                          test clips, each counted once
    class_accuracy, fold_std, seed_std
                                   as in Table 1: mean over folds and seeds, and the deviations over each, in percent
    pooled, low, high              class accuracy of the pooled clips of all folds, and its 95 % bootstrap interval;
                                   a clip counts with the share of its tests (seeds, and folds that test it) that
                                   recognised it
    only_baseline, only_variant, p McNemar's exact test against the baseline of the same input: numbers of clips that
                                   only one of them recognises, and p; only the lowest seed and the first fold that
                                   tests a clip are used, because the tests of a clip are not independent
    """
    groups: dict[tuple[str, str], list[Predictions]] = {}
    for item in predictions:
        groups.setdefault((item.input, item.method), []).append(item)
    outcomes = {key: clip_outcomes(items) for key, items in groups.items()}
    clips = {key: clip_shares(tests) for key, tests in outcomes.items()}
    intervals = _intervals(clips, resamples, seed)
    rows = []
    for (name, variant), tests in outcomes.items():
        shares = clips[name, variant]
        pooled = 100 * shares.groupby("label")["share"].mean().mean()
        test = against(outcomes.get((name, "baseline")), tests, f"{name} {variant}", "its baseline")
        rows.append((name, variant, len(shares), pooled, *intervals[name, variant], *test))
    columns = ["input", "variant", "clips", "pooled", "low", "high", "only_baseline", "only_variant", "p"]
    table = pd.DataFrame(rows, columns=columns).astype({"only_baseline": "Int64", "only_variant": "Int64", "p": float})
    summary = summarise(fold_metrics(predictions)).rename(
        columns={"class_accuracy_std": "fold_std", "class_accuracy_seed_std": "seed_std"}
    )
    means = summary[["input", "variant", "class_accuracy", "fold_std", "seed_std"]]
    table = means.merge(table, on=["input", "variant"], validate="one_to_one")
    table["p"] = [float(f"{p:.4g}") for p in table["p"]]
    figures = ["class_accuracy", "fold_std", "seed_std", "pooled", "low", "high"]
    return table[["input", "variant", "clips", *figures, "only_baseline", "only_variant", "p"]].round(
        dict.fromkeys(figures, 4)
    )


def statistics_notes(table: pd.DataFrame, trained_from: int, resamples: int, seed: int) -> list[str]:
    """Notes on the paper's claim, the 3-level pyramid against the baseline, and then on the columns.

    `trained_from` is the seed of the networks that are tested; `resamples` and `seed` belong to the bootstrap.
    """
    claims = table[(table["variant"] == "3-level") & table["p"].notna()]
    notes = [
        f"{row.input}, 3-level against baseline: {row.only_variant} clips are recognised by 3-level only, "
        f"{row.only_baseline} by the baseline only, p = {row.p:.2g}."
        for row in claims.tail(1).itertuples()
    ]
    return [
        *notes,
        f"95 % interval: percentiles of {resamples} bootstrap resamples (seed {seed}) of the pooled test clips; it "
        "does not cover what other training data or another seed would change.",
        "p: McNemar's exact test, two-sided, of the variant against the baseline of the same input. It compares "
        f"clip by clip, so it concerns accuracy over all clips; networks of seed {trained_from}; not corrected for the "
        "number of rows.",
        version_note(),
    ]


def statistics_text(table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The table as Markdown."""
    means = zip(table["class_accuracy"], table["fold_std"], strict=True)
    shown = pd.DataFrame(
        {
            "Input": table["input"],
            "Variant": table["variant"],
            "Clips": table["clips"],
            "Class accuracy ± folds": [with_deviation(mean, deviation) for mean, deviation in means],
            "± seeds": [with_deviation(value, float("nan")) for value in table["seed_std"]],
            "Pooled": [f"{value:.1f}" for value in table["pooled"]],
            "95 % interval": [
                f"{low:.1f} to {high:.1f}" for low, high in zip(table["low"], table["high"], strict=True)
            ],
            "Only baseline": table["only_baseline"],
            "Only variant": table["only_variant"],
            "p": ["" if np.isnan(p) else f"{p:.2g}" for p in table["p"]],
        }
    )
    if table["seed_std"].isna().all():
        shown = shown.drop(columns="± seeds")
    return table_text("Statistics", "Class accuracy in %, its spreads, and tests against the baseline.", shown, notes)
