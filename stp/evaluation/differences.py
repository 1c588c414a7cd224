"""Which differences between inputs, levels and the best are more than chance: McNemar's tests, corrected by Holm.

Tests that answer one question are one group, and are corrected for their number:

    best     the input and variant with the highest class accuracy, against every other
    inputs   with one variant, every input against every other
    levels   of one input, every variant against every other
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd

from stp.evaluation.fused import Predictions, outcomes_by_cell
from stp.evaluation.markdown import table_text, version_note, with_deviation
from stp.evaluation.metrics import fold_metrics, summarise
from stp.evaluation.significance import LARGEST_P, against, corrected

Cell = tuple[str, str]  # input and variant, a cell of Table 1
COLUMNS = (
    *("question", "group", "first", "second"),
    *("first_accuracy", "second_accuracy", "difference"),
    *("only_first", "only_second", "p", "tests", "p_holm"),
)


def _pairs(accuracies: dict[Cell, float]) -> Iterator[tuple[str, str, Cell, Cell]]:
    """Question, group, and the two cells of every test; of the best the first, if several are equal."""
    best = max(accuracies, key=lambda cell: accuracies[cell])
    yield from (("best", "", cell, best) for cell in accuracies if cell != best)
    for question, shared in (("inputs", 1), ("levels", 0)):
        for group in dict.fromkeys(cell[shared] for cell in accuracies):
            cells = [cell for cell in accuracies if cell[shared] == group]
            yield from ((question, group, *pair) for pair in combinations(cells, 2))


def differences_table(predictions: Sequence[Predictions]) -> pd.DataFrame:
    """One row per test, by question and group, in the order of Table 1; where only one cell is given, none.

    question, group                what is asked (best, inputs, levels), and the variant or input that both share
    first, second                  what is compared, INPUT VARIANT; the best is always the second
    first_accuracy, second_accuracy, difference
                                   class accuracies, means over folds and seeds, and second minus first, in percent
    only_first, only_second, p     McNemar's exact test: numbers of clips that only one of them recognises, and p; only
                                   the lowest seed and the first fold that tests a clip are used
    tests, p_holm                  number of tests of the group, and p corrected for it by Holm

    Raises:
        UserError: predictions are of different folds.
    """
    summary = summarise(fold_metrics(predictions, ["class_accuracy"]))
    cells = list(zip(summary["input"], summary["variant"], strict=True))
    accuracies: dict[Cell, float] = dict(zip(cells, summary["class_accuracy"], strict=True))
    outcomes = outcomes_by_cell(predictions)
    rows = []
    for question, group, first, second in _pairs(accuracies):
        names = " ".join(first), " ".join(second)
        test = against(outcomes[first], outcomes[second], *reversed(names))
        figures = accuracies[first], accuracies[second], accuracies[second] - accuracies[first]
        rows.append((question, group, *names, *figures, *test))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-2])).astype({"only_first": "Int64", "only_second": "Int64"})
    groups = table.groupby(["question", "group"], sort=False)["p"]
    table = table.assign(tests=groups.transform("size").astype("Int64"), p_holm=groups.transform(corrected))
    table["p"] = [float(f"{p:.4g}") for p in table["p"]]
    return table.round(dict.fromkeys(["first_accuracy", "second_accuracy", "difference"], 4))


def differences_notes(table: pd.DataFrame, trained_from: int) -> list[str]:
    """Notes on the tests, and on what is left out of the table for reading; `trained_from` is the seed tested."""
    hidden = len(table) - len(_shown(table))
    notes = [
        "p: McNemar's exact test, two-sided, clip by clip, so that it concerns accuracy over all clips; networks of "
        f"seed {trained_from}, a clip in the first fold that tests it. Corrected: by Holm, for the tests of the group "
        "(best; inputs with one variant; levels of one input).",
        "The best was picked by the same clips, which favours it a little.",
    ]
    if hidden:
        notes.append(
            f"{hidden} pairs of inputs and of levels whose corrected p is {LARGEST_P:g} or more are in "
            "differences.csv alone: their difference may be chance."
        )
    return [*notes, version_note()]


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["question"] == "best") | (table["p_holm"] < LARGEST_P)]


def differences_text(table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The table as Markdown: the best against every other, and of inputs and levels the pairs that differ."""
    rows = _shown(table)
    both = zip(rows["first_accuracy"], rows["second_accuracy"], rows["difference"], strict=True)
    nan = float("nan")
    shown = pd.DataFrame(
        {
            "Question": rows["question"],
            "First": rows["first"],
            "Second": rows["second"],
            "Class accuracy": [f"{with_deviation(a, nan)} → {with_deviation(b, nan)} ({d:+.1f})" for a, b, d in both],
            "Only first": rows["only_first"],
            "Only second": rows["only_second"],
            "p": [f"{p:.2g}" for p in rows["p"]],
            "corrected": [f"{p:.2g}" for p in rows["p_holm"]],
        }
    )
    caption = "Differences in class accuracy in %, first → second (difference), and whether they are more than chance."
    return table_text("Differences", caption, shown, notes)
