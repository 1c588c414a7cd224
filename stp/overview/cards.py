"""The cards at the top of the page: the answers that a reader asks for first, in a figure and a line each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from stp.evaluation.fused import LEARNED, input_name
from stp.evaluation.significance import LARGEST_P
from stp.overview.health import STATES, RunHealth

BASELINE = "baseline"


@dataclass(frozen=True)
class Card:
    """A question in few words, the figure that answers it, what the figure is of, and how sure it is."""

    title: str
    value: str
    words: str
    note: str
    warns: bool = False


def cell_name(run_input: str, variant: str) -> str:
    """An input and variant in words, such as `RGB+OF, 3-level`."""
    return f"{run_input}, {variant}"


def p_words(p: float) -> str:
    """A p as it is read, on one line: `p < .001` or `p = .032`."""
    figure = p_figure(p)
    return f"p\xa0{figure}" if figure.startswith("<") else f"p\xa0=\xa0{figure}"


def p_figure(p: float) -> str:
    """The figure of a p: `< .001`, `.032` or `1`."""
    if p < 0.001:
        return "<\xa0.001"
    return f"{p:.3f}".replace("0.", ".", 1) if p < 0.9995 else "1"


def verdict_words(p: float) -> str:
    """A corrected p, and what it says."""
    return f"{p_words(p)}, {'more than chance' if p < LARGEST_P else 'may be chance'}"


def stars(p: float) -> str:
    """The mark of a corrected p in a table: ***, **, *, or n.s. for 0.05 and more; empty for no test."""
    if pd.isna(p):
        return ""
    return next((mark for limit, mark in ((0.001, "***"), (0.01, "**"), (LARGEST_P, "*")) if p < limit), "n.s.")


def best_cells(statistics: pd.DataFrame) -> list[tuple[str, str]]:
    """Inputs and variants by class accuracy, the highest first; of equal ones those that come first in the table."""
    ordered = statistics.sort_values("class_accuracy", ascending=False, kind="stable")
    return list(zip(ordered["input"], ordered["variant"], strict=True))


def _pair(differences: pd.DataFrame, question: str, first: str, second: str) -> dict[str, float]:
    """The test of a pair, as it reads from the first to the second: difference, only_first, only_second, p_holm."""
    rows = differences[differences["question"] == question]
    for a, b, sign in ((first, second, 1), (second, first, -1)):
        found = rows[(rows["first"] == a) & (rows["second"] == b)]
        if len(found):
            row = found.iloc[0]
            sides = (row["only_first"], row["only_second"])[::sign]
            figures = ("difference", sign * row["difference"]), ("only_first", sides[0]), ("only_second", sides[1])
            return {**dict(figures), "p_holm": row["p_holm"]}
    raise KeyError(f"{question}: {first}, {second}")


def _row(statistics: pd.DataFrame, cell: tuple[str, str]) -> "pd.Series[float]":
    return statistics[(statistics["input"] == cell[0]) & (statistics["variant"] == cell[1])].iloc[0]


def result_cards(statistics: pd.DataFrame, differences: pd.DataFrame, proposed: str) -> list[Card]:
    """Cards on the best, the runner-up, what the pyramid adds to the baseline and fusion to a stream, as far as known.

    Args:
        statistics: `stp.evaluation.significance.statistics_table`.
        differences: `stp.evaluation.differences.differences_table` of the same predictions.
        proposed: the variant that is compared with the baseline.
    """
    best, *others = best_cells(statistics)
    top = _row(statistics, best)
    interval = f"95 % interval {top['low']:.1f} to {top['high']:.1f}"
    cards = [Card("Best", f"{top['class_accuracy']:.1f} %", cell_name(*best), interval)]
    if others:
        behind = _pair(differences, "best", " ".join(others[0]), " ".join(best))
        note = f"{behind['difference']:.1f} behind the best; {verdict_words(behind['p_holm'])}"
        value = f"{_row(statistics, others[0])['class_accuracy']:.1f} %"
        cards.append(Card("Runner-up", value, cell_name(*others[0]), note))
    cells = {best, *others}
    if proposed != BASELINE and {(best[0], BASELINE), (best[0], proposed)} <= cells:
        row = _row(statistics, (best[0], proposed))
        gain = row["class_accuracy"] - _row(statistics, (best[0], BASELINE))["class_accuracy"]
        note = _won(row["only_variant"], row["only_baseline"], row["p_holm"])
        cards.append(Card(f"{proposed} over baseline", f"{gain:+.1f}", f"points, {best[0]}", note))
    fused, single = _fusion(statistics, best)
    if fused and single:
        test = _pair(differences, "inputs", f"{single} {best[1]}", f"{fused} {best[1]}")
        note = _won(test["only_second"], test["only_first"], test["p_holm"])
        title, words = f"Fusion over {single} alone", f"points, {cell_name(fused, best[1])}"
        cards.append(Card(title, f"{test['difference']:+.1f}", words, note))
    return cards


def _won(won: float, lost: float, p: float) -> str:
    return f"{int(won)} clips won, {int(lost)} lost; {verdict_words(p)}"


def _fusion(statistics: pd.DataFrame, best: tuple[str, str]) -> tuple[str, str]:
    """A fused input with the best cell's variant and the best of its streams; empty without one.

    It is the best cell's own input if that is fused, else the widest by the config's weights.
    """
    own = statistics[statistics["variant"] == best[1]].set_index("input")["class_accuracy"]
    streams = {name: name.removesuffix(LEARNED).split("+") for name in own.index if "+" in name}
    fused = [name for name, parts in streams.items() if set(parts) <= set(own.index)]
    if best[0] in fused:
        widest = best[0]
    else:
        by_weights = [name for name in fused if LEARNED not in name]
        if not by_weights:
            return "", ""
        widest = max(by_weights, key=lambda name: name.count("+"))
    return widest, max(streams[widest], key=lambda name: own[name])


def health_card(runs: Sequence[RunHealth]) -> Card:
    """How many trainings are well, and what is wrong with the others: by state, the input with most of these runs."""
    well = sum(run.state == "ok" for run in runs)
    states: dict[str, Counter[str]] = {}
    for run in runs:
        if run.state != "ok":
            states.setdefault(run.state, Counter())[input_name(run.name.input)] += 1
    words = []
    for state, found in sorted(states.items(), key=lambda item: list(STATES).index(item[0])):
        [(name, count)], total = found.most_common(1), found.total()
        share = "" if total == 1 else "all " if count == total else f"{count} "
        words.append(f"{total} {state}, {share}of {name}")
    note = "; ".join(words) or "every loss fell and settled, every run beats chance and learned its classes"
    return Card("Training health", f"{well} of {len(runs)}", "runs are well", note, warns=well < len(runs))
