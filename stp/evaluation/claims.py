"""The paper's claims (sections 4.2 and 5), each tested on the runs at hand, beside the figures that the paper prints.

A claim says that one input and method recognises more than another. The figures are reported ones (see
`stp.evaluation.comparison`): Tables 1 and 2 are of micro actions, Table 3 is of general actions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from stp.config import FUSED
from stp.evaluation.fused import LEARNED, Predictions, input_name, outcomes_by_cell
from stp.evaluation.markdown import table_text, version_note, with_deviation
from stp.evaluation.metrics import fold_metrics, summarise
from stp.evaluation.significance import LARGEST_P, against, first_tests, holm, mcnemar

BASELINE, PROPOSED = "baseline", "3-level"
LEVELS = (BASELINE, "1-level", "2-level", "3-level", "4-level")
INPUTS = tuple(input_name("+".join(streams)) for streams in (*((name,) for name in FUSED[-1]), *FUSED))
ALL = INPUTS[-1]
AHEAD, CLASSES = 4, 7  # section 4.2: the proposed method is the best on 4 of the 7 classes; Figure 6 has no figures


@dataclass(frozen=True)
class Claim:
    """That `second` recognises more than `first`, each (input, method); `printed_in` is the paper's table or figure.

    With `by_class`, that it is ahead in more classes.
    """

    words: str
    first: tuple[str, str]
    second: tuple[str, str]
    printed_in: str = "table1"
    by_class: bool = False


def _plain(level: str) -> str:
    """3-level becomes 3 levels."""
    return f"the {level}" if level == BASELINE else level.replace("-", " ") + ("" if level == "1-level" else "s")


def _claims() -> list[Claim]:
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
        ("OF", "RGB+OF", ", its best part"),
        ("OF", "OF+WOF", ", its best part"),
        ("OF", ALL, ", the best single input"),
        ("RGB+OF", ALL, ""),
        ("OF+WOF", ALL, ", the best pair"),
    ):
        words = f"{second} beats {first}{words}"
        claims.append(Claim(words, (first, PROPOSED), (second, PROPOSED)))
    tsn = (ALL, BASELINE), (ALL, PROPOSED)
    return [
        *claims,
        Claim("The proposed method beats TSN, as on the paper's micro actions", *tsn, "table2"),
        Claim("The proposed method is ahead of TSN in most classes", *tsn, "figure6", by_class=True),
        Claim("The proposed method beats TSN, as on the paper's general actions", *tsn, "table3"),
    ]


def _learned(run: tuple[str, str]) -> tuple[str, str]:
    """The same run with learned weights, where its input is fused."""
    return (f"{run[0]}{LEARNED}" if "+" in run[0] else run[0]), run[1]


CLAIMS = tuple(_claims())
# The claims about fusing, and the one about TSN, also of fusions with learned weights, if there are any.
LEARNED_CLAIMS = tuple(
    replace(claim, words=f"{claim.words}; learned weights", first=_learned(claim.first), second=_learned(claim.second))
    for claim in CLAIMS
    if "+" in claim.second[0] and (claim.first[0] != claim.second[0] or claim.printed_in == "table2")
)
TABLES = tuple(dict.fromkeys(claim.printed_in for claim in CLAIMS if not claim.by_class))
COLUMNS = (
    *("claim", "input", "first", "second"),
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


def _by_class(first: pd.DataFrame, second: pd.DataFrame) -> tuple[int, int, int, float]:
    """Number of classes, of those in which only the first or the second is ahead, and the sign test's p."""
    counts = [tests.groupby("label")["correct"].sum() for tests in map(first_tests, (first, second))]
    behind, ahead = (counts[0] > counts[1]).to_numpy(), (counts[1] > counts[0]).to_numpy()
    return len(ahead), *mcnemar(behind, ahead)


def _claims_of(predictions: Sequence[Predictions]) -> tuple[Claim, ...]:
    """CLAIMS, and those of learned fusions if there are any among the predictions."""
    return CLAIMS + (LEARNED_CLAIMS if any(item.input.endswith(LEARNED) for item in predictions) else ())


def claims_table(predictions: Sequence[Predictions], reported: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per claim whose two runs are among the predictions, in the order of CLAIMS, then of LEARNED_CLAIMS.

    `reported` has the figures (`stp.evaluation.comparison.read_reported`) of the tables that TABLES names.

    claim, input                what is claimed, and of which input (of the second, where they differ)
    first, second               what is compared, INPUT METHOD; the claim is that the second recognises more
    reported_first, _second, _difference, reported_in
                                class accuracy that the paper prints, in percent, and where
    measured_first, _second, _difference
                                class accuracy here: mean over folds and seeds, in percent
    only_first, only_second, p  McNemar's exact test: numbers of clips that only one of them recognises, and p; only the
                                lowest seed and the first fold that tests a clip are used
    p_holm                      p corrected by Holm for the number of rows
    verdict                     holds, fails or undecided (`verdict`), by the corrected p

    In the row by class, figures are percent of the classes in which one of them is ahead, and the test counts classes.
    """
    outcomes = outcomes_by_cell(predictions)
    summary = summarise(fold_metrics(predictions))
    measured = dict(zip(zip(summary["input"], summary["variant"], strict=True), summary["class_accuracy"], strict=True))
    printed = {
        (table, input_name(row["streams"]), row["variant"]): row["reported"]
        for table, rows in reported.items()
        for row in rows[rows["metric"] == "class_accuracy"].to_dict("records")
    }
    rows = []
    for claim in _claims_of(predictions):
        if not {claim.first, claim.second} <= outcomes.keys():
            continue
        sides, names = (claim.first, claim.second), [" ".join(side) for side in (claim.first, claim.second)]
        test: Sequence[object]
        if claim.by_class:
            classes, behind, ahead, p = _by_class(outcomes[claim.first], outcomes[claim.second])
            test = behind, ahead, p
            ours = [100 * behind / classes, 100 * ahead / classes]
            theirs = [nan, 100 * AHEAD / CLASSES]
        else:
            test = against(outcomes[claim.first], outcomes[claim.second], *reversed(names))
            ours = [measured[side] for side in sides]
            theirs = [
                printed.get((claim.printed_in, name.removesuffix(LEARNED), method), nan) for name, method in sides
            ]
        reported_figures = (*theirs, theirs[1] - theirs[0], claim.printed_in)
        rows.append((claim.words, claim.second[0], *names, *reported_figures, *ours, ours[1] - ours[0], *test))
    figures = [name for name in COLUMNS if name.startswith(("reported_", "measured_")) and name != "reported_in"]
    kinds: dict[str, Any] = {"only_first": "Int64", "only_second": "Int64"} | dict.fromkeys(["p", *figures], float)
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-2])).astype(kinds).round(dict.fromkeys(figures, 4))
    corrected = holm(table["p"].to_numpy())
    by_tests = table["only_second"] - table["only_first"]
    verdicts = [verdict(*values) for values in zip(corrected, table["measured_difference"], by_tests, strict=True)]
    for name, values in (("p", table["p"]), ("p_holm", corrected)):
        table[name] = [float(f"{value:.4g}") for value in values]
    return table.assign(verdict=verdicts)


def claims_notes(
    table: pd.DataFrame, predictions: Sequence[Predictions], reported: Mapping[str, pd.DataFrame]
) -> list[str]:
    """Notes on the figures, the tests and the verdict, and on claims that are left out."""
    data = [
        f"{_title(name)}: {', '.join(rows.loc[rows['streams'] != '', 'data'].unique())}"
        for name, rows in reported.items()
    ]
    present = {(item.input, item.method) for item in predictions}
    claims = _claims_of(predictions)
    absent = dict.fromkeys(side for claim in claims for side in (claim.first, claim.second) if side not in present)
    notes = [
        f"Reported by Mi and Wang 2019 ({'; '.join(data)}); measured here, means over folds and seeds. Inputs are "
        "compared with the 3 levels that the paper proposes, and a fusion with the part that is the paper's best.",
        "p: McNemar's exact test, two-sided, clip by clip, so that it concerns accuracy over all clips; networks of "
        f"seed {min(item.seed for item in predictions)}, a clip in the first fold that tests it. Corrected: by Holm, "
        f"for the {len(table)} claims of this table.",
        "A claim holds if the second is ahead both in class accuracy and in clips, and the corrected p is below "
        f"{LARGEST_P:g}; it fails if the first is ahead in both; else it is undecided, which says nothing against it.",
    ]
    if (table["reported_in"] == "figure6").any():
        notes.append(
            f"Figure 6 has bars without figures: the paper says that the proposed method is the best on {AHEAD} of "
            f"{CLASSES} classes. That row has percent of the classes in which one of them is ahead, and its test "
            "counts classes."
        )
    if claims != CLAIMS:
        notes.append("Learned weights are not the paper's, whose figures stand beside them.")
    if absent:
        notes.append(
            f"{len(claims) - len(table)} claims are left out, because their runs are not trained here: "
            f"{', '.join(' '.join(side) for side in absent)}."
        )
    return [*notes, "The paper's claims about other methods are left out; Tables 2 and 3 have them.", version_note()]


def _title(name: str) -> str:
    """table1 becomes Table 1."""
    return f"{name[:-1].capitalize()} {name[-1]}"


def _figures(table: pd.DataFrame, kind: str) -> list[str]:
    """Both figures, and their difference in brackets; of one alone that one."""
    found = []
    for first, second, difference in zip(
        *(table[f"{kind}_{part}"] for part in ("first", "second", "difference")), strict=True
    ):
        both = " → ".join(with_deviation(value, nan) for value in (first, second) if not np.isnan(value))
        found.append(both if np.isnan(difference) else f"{both} ({difference:+.1f})")
    return found


def claims_text(table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The table as Markdown."""
    shown = pd.DataFrame(
        {
            "Claim": table["claim"],
            "Input": table["input"],
            "Reported": _figures(table, "reported"),
            "in": table["reported_in"].map(_title),
            "Measured": _figures(table, "measured"),
            "Only first": table["only_first"],
            "Only second": table["only_second"],
            "p": [f"{p:.2g}" for p in table["p"]],
            "corrected": [f"{p:.2g}" for p in table["p_holm"]],
            "Verdict": table["verdict"],
        }
    )
    caption = "What the paper claims, tested on these data: class accuracy in %, first → second (difference)."
    return table_text("Claims", caption, shown, notes)
