"""Statistics for the tables: how certain a class accuracy is, and whether it differs from the baseline or from chance.

Three spreads are given side by side, because they answer different questions: between folds (different test and
training clips), between seeds (the same data, trained again), and a bootstrap over test clips (the same networks).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from stp.errors import UserError
from stp.evaluation.fused import LEARNED, Predictions, clip_shares, outcomes_by_cell
from stp.evaluation.markdown import table_text, version_note, with_deviation
from stp.evaluation.metrics import fold_metrics, summarise

LARGEST_P = 0.05  # of an effect, corrected
DOUBT = 0.01  # a corrected p below this is beyond doubt
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


def class_intervals(labels: np.ndarray, shares: np.ndarray, resamples: int, seed: int) -> dict[int, np.ndarray]:
    """Intervals of the accuracy of each class, by label: float (methods, 2), low and high in percent.

    As `bootstrap_intervals` of the class's clips alone. Where all clips of a class are recognised, or none, the
    interval has no width: the bootstrap knows no other clips.
    """
    return {
        int(label): bootstrap_intervals(labels[labels == label], shares[labels == label], resamples, seed)
        for label in np.unique(labels)
    }


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


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction of the p of several tests, float (tests,).

    If all whose corrected p is below a level are called effects, one or more is wrong with at most that probability.
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def corrected(p: pd.Series) -> list[float]:
    """Holm's correction of the p that there are, to 4 digits; NaN where there is none."""
    values = p.to_numpy(float, copy=True)
    tested = np.isfinite(values)
    values[tested] = holm(values[tested])
    return [float(f"{value:.4g}") for value in values]


def chance_hits(labels: np.ndarray, predicted: np.ndarray, number: int) -> float:
    """Clips that would be recognised, on average, if the predictions were dealt to the clips at random.

    That is the sum over the `number` classes of share among the labels x share among the predictions, x clips.
    """
    hits = np.bincount(labels, minlength=number) @ np.bincount(predicted, minlength=number)
    return float(hits / max(1, len(labels)))


def p_above_chance(labels: np.ndarray, predicted: np.ndarray, number: int) -> float:
    """Exact binomial test, one-sided, that more clips are recognised than by chance (`chance_hits`)."""
    share = min(1, chance_hits(labels, predicted, number) / len(labels))
    return float(binomtest(int((labels == predicted).sum()), len(labels), share, alternative="greater").pvalue)


def _blind_hits(predictions: Sequence[Predictions]) -> tuple[int, int, float]:
    """Clips that a method recognises, clips tested, and how many it would recognise blindly, as `below_chance` says."""
    lowest = min(item.seed for item in predictions)
    seen: set[str] = set()
    recognised, tested, blind = 0, 0, 0.0
    for item in sorted((item for item in predictions if item.seed == lowest), key=lambda item: item.fold):
        first = np.array([clip not in seen for clip in item.clips])
        seen.update(item.clips)
        labels, predicted = item.labels[first], item.classes_predicted()[first]
        recognised, tested = recognised + int((labels == predicted).sum()), tested + len(labels)
        blind += chance_hits(labels, predicted, len(item.classes))
    return recognised, tested, blind


def below_chance(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row per input and variant, which says whether it recognises fewer clips than if it did not look at them.

    clips           test clips, each counted once: by the lowest seed, in the first fold that tests it
    recognised      how many of them are recognised
    chance          percent that would be recognised if, in each fold, the same predictions were dealt to the clips at
                    random: the sum over classes of share among the labels x share among the predictions
    p_below_chance  exact binomial test of `recognised` against `chance`, one-sided, corrected over all rows (`holm`)

    Chance is that of the method's own predictions, because any other would blame methods that know something. Of 90
    clips of one class and 10 of another, a method that recognises 70 % of each is below the best constant (90 %) and
    below guessing by the classes' frequencies (82 %), but its own predictions, 66 and 34, dealt at random, have 62.8 %.
    A constant is at chance, whichever class it names. Where classes are even, every such chance is 1 / classes, and the
    hits of such a deal of n clips vary nearly as a binomial's do: their variance is n / (n - 1) of it. Clips count as
    independent.
    """
    groups: dict[tuple[str, str], list[Predictions]] = {}
    for item in predictions:
        groups.setdefault((item.input, item.method), []).append(item)
    rows = []
    for key, items in groups.items():
        recognised, tested, blind = _blind_hits(items)
        p = binomtest(recognised, tested, min(1, blind / tested), alternative="less").pvalue
        rows.append((*key, tested, recognised, 100 * blind / tested, p))
    columns = ["input", "variant", "clips", "recognised", "chance", "p_below_chance"]
    table = pd.DataFrame(rows, columns=columns)
    corrected = holm(table["p_below_chance"].to_numpy())
    return table.assign(p_below_chance=[float(f"{p:.4g}") for p in corrected]).round({"chance": 4})


def below_chance_notes(table: pd.DataFrame) -> list[str]:
    """A note on the rows of `below_chance` that are below chance beyond doubt, with reason and cure; none without."""
    named = [
        f"{row['input']}, {row['variant']} ({row['recognised']} of {row['clips']} clips where chance is "
        f"{row['chance'] * row['clips'] / 100:.1f}; p = {row['p_below_chance']:.1g})"
        for row in table[table["p_below_chance"] < DOUBT].to_dict("records")
    ]
    if not named:
        return []
    return [
        f"Below chance beyond doubt: {'; '.join(named)}. The usual reason: people or places are on both sides of the "
        "folds, so that the input recognises them and names those of their classes that it was trained on. The cure: "
        "give clips their groups, and use splits.scheme grouped or balanced. Fused, such an input does harm."
    ]


def first_tests(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The test of each clip with the lowest seed, in the first fold that tests it: label and correct (bool) by clip."""
    lowest = outcomes[outcomes["seed"] == outcomes["seed"].min()]
    return lowest.drop_duplicates("clip").set_index("clip")[["label", "correct"]].astype({"correct": bool})


def against(
    other: pd.DataFrame | None, outcomes: pd.DataFrame, name: str, other_name: str
) -> tuple[object, object, object]:
    """McNemar's test of a method against another, from their `clip_outcomes`.

    Three times None if there is no other method, or if it is the method itself.
    """
    if other is None or other is outcomes:
        return None, None, None
    first, second = first_tests(other)["correct"], first_tests(outcomes)["correct"]
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
    recognised, chance, p_below_chance
                                   as in `below_chance`
    only_baseline, only_variant, p McNemar's exact test against the baseline of the same input: numbers of clips that
                                   only one of them recognises, and p; only the lowest seed and the first fold that
                                   tests a clip are used, because the tests of a clip are not independent
    p_holm                         p corrected by Holm for the number of rows that have one
    """
    outcomes = outcomes_by_cell(predictions)
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
    summary = summarise(fold_metrics(predictions, ["class_accuracy"])).rename(
        columns={"class_accuracy_std": "fold_std", "class_accuracy_seed_std": "seed_std"}
    )
    means = summary[["input", "variant", "class_accuracy", "fold_std", "seed_std"]]
    table = means.merge(table, on=["input", "variant"], validate="one_to_one")
    table = table.merge(below_chance(predictions).drop(columns="clips"), on=["input", "variant"], validate="one_to_one")
    table["p_holm"] = corrected(table["p"])
    table["p"] = [float(f"{p:.4g}") for p in table["p"]]
    figures = ["class_accuracy", "fold_std", "seed_std", "pooled", "low", "high"]
    against_baseline = ["only_baseline", "only_variant", "p", "p_holm"]
    against_chance = ["recognised", "chance", "p_below_chance"]
    return table[["input", "variant", "clips", *figures, *against_baseline, *against_chance]].round(
        dict.fromkeys(figures, 4)
    )


def statistics_notes(table: pd.DataFrame, trained_from: int, resamples: int, seed: int) -> list[str]:
    """Notes on inputs below chance, the paper's claim, the 3-level pyramid against the baseline, and on the columns.

    `trained_from` is the seed of the networks that are tested; `resamples` and `seed` belong to the bootstrap.
    """
    papers = ~table["input"].str.endswith(LEARNED)
    claims = table[(table["variant"] == "3-level") & table["p"].notna() & papers]
    notes = [
        f"{row.input}, 3-level against baseline: {row.only_variant} clips are recognised by 3-level only, "
        f"{row.only_baseline} by the baseline only, p = {row.p:.2g}."
        for row in claims.tail(1).itertuples()
    ]
    return [
        *below_chance_notes(table),
        *notes,
        f"95 % interval: percentiles of {resamples} bootstrap resamples (seed {seed}) of the pooled test clips; it "
        "does not cover what other training data or another seed would change.",
        "p: McNemar's exact test, two-sided, of the variant against the baseline of the same input. It compares "
        f"clip by clip, so it concerns accuracy over all clips; networks of seed {trained_from}. Corrected: by Holm, "
        f"for the {int(table['p'].notna().sum())} rows that have one.",
        "Chance: the accuracy over all clips if the input's predictions in a fold were dealt to its clips at random; p "
        f"below chance: exact binomial test, one-sided, that it is lower than that; networks of seed {trained_from}; "
        "corrected for the number of rows (Holm).",
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
            "corrected": ["" if np.isnan(p) else f"{p:.2g}" for p in table["p_holm"]],
            "Chance": [f"{value:.1f}" for value in table["chance"]],
            "p below chance": [f"{p:.2g}" for p in table["p_below_chance"]],
        }
    )
    if table["seed_std"].isna().all():
        shown = shown.drop(columns="± seeds")
    return table_text("Statistics", "Class accuracy in %, its spreads, and tests against the baseline.", shown, notes)
