"""The paper's claims (sections 4.2 and 5), each tested on the runs at hand, beside the figures that the paper prints.

A claim says that one input and method recognises more than another. The figures are reported ones (see
`stp.evaluation.comparison`): Tables 1 and 2 are of micro actions, Table 3 is of general actions. Claims that answer
one question are a family, and are corrected for their number:

    paper      what the paper claims
    class      the proposed method against TSN on the clips of each class
    learned    the claims about fusions, of weights that are learned, which the paper does not have
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import nan
from typing import Any, Literal

import pandas as pd

from stp.config import FUSED
from stp.evaluation.fused import LEARNED, Predictions, clip_shares, input_name, outcomes_by_cell
from stp.evaluation.metrics import fold_metrics, summarise
from stp.evaluation.significance import LARGEST_P, against, first_tests, holm, mcnemar

Cell = tuple[str, str]  # input and method
Family = Literal["paper", "class", "learned"]
BASELINE, PROPOSED = "baseline", "3-level"
LEVELS = (BASELINE, "1-level", "2-level", "3-level", "4-level")
STREAMS = tuple(input_name(name) for name in FUSED[-1])
FUSIONS = tuple(input_name("+".join(streams)) for streams in FUSED)
INPUTS = (*STREAMS, *FUSIONS)
ALL = FUSIONS[-1]
TABLES = ("table1", "table2", "table3")  # of figures that the paper prints
AHEAD, CLASSES = 4, 7  # section 4.2: the proposed method is the best on 4 of the 7 classes; Figure 6 has no figures


@dataclass(frozen=True)
class Claim:
    """That `second` recognises more than `first`; `printed_in` is the paper's table or figure, if it has one.

    With `by_class`, that it is ahead in more classes; with a `label`, that it recognises more clips of this class.
    """

    words: str
    first: Cell
    second: Cell
    printed_in: str = "table1"
    family: Family = "paper"
    by_class: bool = False
    label: int | None = None


def _plain(level: str) -> str:
    """3-level becomes 3 levels."""
    return f"the {level}" if level == BASELINE else level.replace("-", " ") + ("" if level == "1-level" else "s")


def _papers_claims() -> list[Claim]:
    """Claims about levels, by input; then about inputs, with the proposed 3 levels; then about TSN."""
    claims = []
    for name in INPUTS:
        pairs = [*pairwise(LEVELS[:4]), ("4-level", PROPOSED)]
        if name != ALL:  # there this is the claim of Table 2
            pairs.append((BASELINE, PROPOSED))
        for first, second in pairs:
            verb = "beats" if second == "1-level" else "beat"
            claims.append(Claim(f"{_plain(second)} {verb} {_plain(first)}", (name, first), (name, second)))
    for first, second, words in (
        ("RGB", "OF", ""),
        ("WOF", "OF", ""),
        ("OF", "RGB+OF", ", the paper's best part"),
        ("OF", "OF+WOF", ", the paper's best part"),
        ("OF", ALL, ", the paper's best single input"),
        ("RGB+OF", ALL, ""),
        ("OF+WOF", ALL, ", the paper's best pair"),
    ):
        words = f"{second} beats {first}{words}"
        claims.append(Claim(words, (first, PROPOSED), (second, PROPOSED)))
    tsn = (ALL, BASELINE), (ALL, PROPOSED)
    return [
        *claims,
        Claim("The proposed method beats TSN", *tsn, "table2"),
        Claim("The proposed method is ahead of TSN in most classes", *tsn, "figure6", by_class=True),
    ]


def _learned(run: Cell) -> Cell:
    """The same run with learned weights, where its input is fused."""
    return (f"{run[0]}{LEARNED}" if "+" in run[0] else run[0]), run[1]


CLAIMS = tuple(_papers_claims())
# The claims about fusing, and the one about TSN, also of fusions with learned weights, if there are any.
LEARNED_CLAIMS = tuple(
    replace(
        claim,
        words=f"{claim.words}; learned weights",
        first=_learned(claim.first),
        second=_learned(claim.second),
        family="learned",
    )
    for claim in CLAIMS
    if "+" in claim.second[0] and (claim.first[0] != claim.second[0] or claim.printed_in == "table2")
)
COLUMNS = (
    *("family", "claim", "input", "first", "second"),
    *("reported_first", "reported_second", "reported_difference", "reported_in"),
    *("measured_first", "measured_second", "measured_difference"),
    *("only_first", "only_second", "p", "p_holm", "verdict"),
)


def verdict(p: float, by_accuracy: float, by_tests: float) -> str:
    """Whether a claim `holds`, `fails` or is `undecided`.

    Args:
        p: corrected p of the test.
        by_accuracy: second minus first in class accuracy.
        by_tests: second minus first in the number of clips (or classes) that the test counts.
    """
    if p < LARGEST_P and min(by_accuracy, by_tests) > 0:
        return "holds"
    if p < LARGEST_P and max(by_accuracy, by_tests) < 0:
        return "fails"
    return "undecided"


def class_claims(predictions: Sequence[Predictions]) -> tuple[Claim, ...]:
    """The proposed method against the baseline on each class with test clips, of the widest input that has both."""
    present = {(item.input, item.method) for item in predictions}
    widest = [name for name in INPUTS if {(name, BASELINE), (name, PROPOSED)} <= present][-1:]
    labels = sorted({label for item in predictions for label in item.labels.tolist()})
    return tuple(
        Claim(
            f"The proposed method beats TSN in class {predictions[0].classes[label]}",
            *((name, BASELINE), (name, PROPOSED)),
            printed_in="",
            family="class",
            label=label,
        )
        for name in widest
        for label in labels
    )


def claims_of(predictions: Sequence[Predictions]) -> tuple[Claim, ...]:
    """CLAIMS, those of the classes, and LEARNED_CLAIMS if there are learned fusions among the predictions."""
    learned = LEARNED_CLAIMS if any(item.input.endswith(LEARNED) for item in predictions) else ()
    return *CLAIMS, *class_claims(predictions), *learned


def reported_accuracies(reported: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str, str], float]:
    """Class accuracies that the paper prints, in percent, by table, input and method."""
    return {
        (table, input_name(row["streams"]), row["variant"]): row["reported"]
        for table, rows in reported.items()
        for row in rows[rows["metric"] == "class_accuracy"].to_dict("records")
    }


def claims_table(predictions: Sequence[Predictions], reported: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per claim whose two runs are among the predictions, in the order of `claims_of`.

    `reported` has the figures (`stp.evaluation.comparison.read_reported`) of the tables that TABLES names.

    family                      paper, class or learned
    claim, input                what is claimed, and of which input (of the second, where they differ)
    first, second               what is compared, INPUT METHOD; the claim is that the second recognises more
    reported_first, _second, _difference, reported_in
                                class accuracy that the paper prints, in percent, and where
    measured_first, _second, _difference
                                class accuracy here: mean over folds and seeds, in percent
    only_first, only_second, p  McNemar's exact test: numbers of clips that only one of them recognises, and p; only the
                                lowest seed and the first fold that tests a clip are used
    p_holm                      p corrected by Holm for the number of rows of the family
    verdict                     holds, fails or undecided (`verdict`), by the corrected p

    In the row by class, figures are percent of the classes in which one of them is ahead, and the test counts classes.
    In a class's row, figures are the share of the class's clips that are recognised over all folds and seeds, as in
    Figure 6, and the test counts clips of the class.
    """
    outcomes, printed = outcomes_by_cell(predictions), reported_accuracies(reported)
    summary = summarise(fold_metrics(predictions, ["class_accuracy"]))
    measured = dict(zip(zip(summary["input"], summary["variant"], strict=True), summary["class_accuracy"], strict=True))
    rows = []
    for claim in claims_of(predictions):
        sides = claim.first, claim.second
        if not set(sides) <= outcomes.keys():
            continue
        theirs = [printed.get((claim.printed_in, name.removesuffix(LEARNED), method), nan) for name, method in sides]
        if claim.by_class:
            theirs[1] = 100 * AHEAD / CLASSES
        ours, test = _tested(claim, outcomes, measured)
        figures = *theirs, theirs[1] - theirs[0], claim.printed_in, *ours, ours[1] - ours[0]
        rows.append((claim.family, claim.words, claim.second[0], *map(" ".join, sides), *figures, *test))
    numbers = [name for name in COLUMNS if name.startswith(("reported_", "measured_")) and name != "reported_in"]
    kinds: dict[str, Any] = {"only_first": "Int64", "only_second": "Int64"} | dict.fromkeys(["p", *numbers], float)
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-2])).astype(kinds).round(dict.fromkeys(numbers, 4))
    return _with_verdicts(table)


def _tested(
    claim: Claim, outcomes: Mapping[Cell, pd.DataFrame], measured: Mapping[Cell, float]
) -> tuple[Sequence[float], Sequence[object]]:
    """Both figures of a claim, in percent, and its test: numbers of only the first and only the second, and p."""
    sides = claim.first, claim.second
    first, second = (outcomes[side] for side in sides)
    if claim.by_class:
        counts = [tests.groupby("label")["correct"].sum() for tests in map(first_tests, (first, second))]
        behind, ahead = (counts[0] > counts[1]).to_numpy(), (counts[1] > counts[0]).to_numpy()
        return [100 * behind.mean(), 100 * ahead.mean()], mcnemar(behind, ahead)
    names = [" ".join(side) for side in reversed(sides)]
    if claim.label is None:
        return [measured[side] for side in sides], against(first, second, *names)
    first, second = (tests[tests["label"] == claim.label] for tests in (first, second))
    return [100 * clip_shares(tests)["share"].mean() for tests in (first, second)], against(first, second, *names)


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with p_holm and verdict, each family corrected for itself; p to 4 digits."""
    corrected = pd.Series(nan, table.index)
    for _, p in table.groupby("family")["p"]:
        corrected[p.index] = holm(p.to_numpy())
    by_tests = table["only_second"] - table["only_first"]
    verdicts = [verdict(*values) for values in zip(corrected, table["measured_difference"], by_tests, strict=True)]
    for name, values in (("p", table["p"]), ("p_holm", corrected)):
        table[name] = [float(f"{value:.4g}") for value in values]
    return table.assign(verdict=verdicts)
