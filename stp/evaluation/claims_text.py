"""The table of claims for reading: a table for each family, and notes on figures, tests and what is left out."""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from stp.evaluation.claims import (
    AHEAD,
    ALL,
    BASELINE,
    CLASSES,
    FUSIONS,
    LEVELS,
    PROPOSED,
    STREAMS,
    claims_of,
    reported_accuracies,
)
from stp.evaluation.fused import LEARNED, Predictions
from stp.evaluation.markdown import plain_text, tables_text, version_note, with_deviation
from stp.evaluation.significance import LARGEST_P, holm

HEADINGS = {
    "paper": "The paper's claims",
    "class": "The proposed method against TSN, class by class",
    "learned": "The claims about fusions, with learned weights",
}
PAIRS = FUSIONS[:-1]
# Inputs of which the paper has a best one, with 3 levels: that one, what it is, and all of them.
BEST_PARTS = (
    ("OF", "single input", STREAMS),
    ("OF+WOF", "pair", PAIRS),
    (f"OF+WOF{LEARNED}", "pair", tuple(f"{name}{LEARNED}" for name in PAIRS)),
)


def claims_notes(
    table: pd.DataFrame, predictions: Sequence[Predictions], reported: Mapping[str, pd.DataFrame]
) -> list[str]:
    """Notes on figures, tests and verdicts, then on each family, then on claims that are left out."""
    data = [f"{_title(name)}: {_data(rows)}" for name, rows in reported.items() if name in set(table["reported_in"])]
    sizes = table["family"].value_counts(sort=False)
    of_data = f" ({'; '.join(data)})" if data else ""
    numbers = f" ({', '.join(map(str, sizes))})" if len(sizes) > 1 else ""
    notes = [
        f"Reported by Mi and Wang 2019{of_data}; measured here, means over folds and seeds. Inputs are compared with "
        "the 3 levels that the paper proposes, and a fusion with the part that is the paper's best.",
        "p: McNemar's exact test, two-sided, clip by clip, so that it concerns accuracy over all clips; networks of "
        f"seed {min(item.seed for item in predictions)}, a clip in the first fold that tests it. Corrected: by Holm, "
        f"each table for its own number of claims{numbers}.",
        "A claim holds if the second is ahead both in class accuracy and in clips, and the corrected p is below "
        f"{LARGEST_P:g}; it fails if the first is ahead in both; else it is undecided, which says nothing against it.",
        *_general_actions(table, reported),
        *_most_classes(table, predictions),
        *_better_parts(table),
    ]
    if "class" in sizes:
        notes.append(
            "Class by class: the widest input there is, on the clips of one class; class accuracy is the share of them "
            "that is recognised, over all folds and seeds, as in Figure 6, which has bars without figures."
        )
    if "learned" in sizes:
        notes.append("Learned weights are not the paper's, whose figures stand beside them.")
    claims, present = claims_of(predictions), {(item.input, item.method) for item in predictions}
    absent = dict.fromkeys(side for claim in claims for side in (claim.first, claim.second) if side not in present)
    if absent:
        notes.append(
            f"{len(claims) - len(table)} claims are left out, because their runs are not trained here: "
            f"{', '.join(' '.join(side) for side in absent)}."
        )
    return [*notes, "The paper's claims about other methods are left out; Tables 2 and 3 have them.", version_note()]


def _general_actions(table: pd.DataFrame, reported: Mapping[str, pd.DataFrame]) -> list[str]:
    """A note on what Table 3 prints of the comparison that is Table 2's row."""
    printed = reported_accuracies(reported)
    figures = [printed.get(("table3", ALL, method), nan) for method in (BASELINE, PROPOSED)]
    if not (table["reported_in"] == "table2").any() or np.isnan(figures).any():
        return []
    return [
        f"The paper finds the same on general actions ({_data(reported['table3'])}): Table 3 has {_change(*figures)}. "
        "Here that is the same test as Table 2's, and has no row of its own."
    ]


def _most_classes(table: pd.DataFrame, predictions: Sequence[Predictions]) -> list[str]:
    """A note on the row that counts classes, which says so if no outcome could decide it."""
    papers = table[table["family"] == "paper"]
    row = (papers["reported_in"] == "figure6").to_numpy()
    if not row.any():
        return []
    words = (
        f"Figure 6 has bars without figures: the paper says that the proposed method is the best on {AHEAD} of "
        f"{CLASSES} classes. That row has percent of the classes in which one of them is ahead, and its test counts "
        "classes."
    )
    classes = len({label for item in predictions for label in item.labels.tolist()})
    smallest = min(1.0, 2 / 2**classes)
    corrected = holm(np.where(row, smallest, papers["p"]))[row].item()
    if corrected >= LARGEST_P:
        words += (
            f" With {classes} classes its p is never below {smallest:.2g}, which is {corrected:.2g} corrected beside "
            "the other claims: with so few classes it cannot be decided."
        )
    return [words]


def _better_parts(table: pd.DataFrame) -> list[str]:
    """A note for each kind of part, pair or single input, of which another one than the paper's best is better here."""
    fused = table[table["second"].str.contains("+", regex=False)]
    of_all = table[(table["family"] != "class") & (table["reported_in"] != "figure6")]  # figures of all classes
    measured = {
        run: round(figure, 1)
        for side in ("first", "second")
        for run, figure in zip(of_all[side], of_all[f"measured_{side}"], strict=True)
    }
    notes = []
    for best, kind, inputs in BEST_PARTS:
        found = {name: measured[run] for name in inputs if (run := f"{name} {PROPOSED}") in measured}
        alone = " alone" if kind == "single input" else ""
        better = [f"{name}{alone} has {found[name]:.1f}" for name in found if found[name] > found.get(best, nan)]
        if better and (fused["first"] == f"{best} {PROPOSED}").any():
            words = f"more than {best} ({found[best]:.1f}), the paper's best {kind}"
            notes.append(f"Here, with 3 levels, {' and '.join(better)}, {words}.")
    return notes


def _data(reported: pd.DataFrame) -> str:
    """The data of the figures of pyramids and of the baseline."""
    return ", ".join(reported.loc[reported["variant"].isin(LEVELS), "data"].unique())


def _title(name: str) -> str:
    """table1 becomes Table 1."""
    return f"{name[:-1].capitalize()} {name[-1]}" if name else ""


def _change(first: float, second: float) -> str:
    """Both figures, and their difference in brackets; of one alone that one."""
    both = " → ".join(with_deviation(value, nan) for value in (first, second) if not np.isnan(value))
    return both if np.isnan(first) or np.isnan(second) else f"{both} ({second - first:+.1f})"


def tally(verdicts: pd.Series) -> str:
    """How many claims hold, fail and are undecided: `25 of 38 hold, 1 fails, 12 are undecided`."""
    hold, fail, undecided = (int((verdicts == word).sum()) for word in ("holds", "fails", "undecided"))
    words = [f"{hold} of {len(verdicts)} {'holds' if len(verdicts) == 1 else 'hold'}"]
    words += [f"{fail} {'fails' if fail == 1 else 'fail'}"] if fail else []
    words += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    return ", ".join(words)


def claims_text(table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The claims as Markdown: a table for each family, with the number of those that hold, and the notes."""
    families = table["family"].unique() if len(table) else ["paper"]
    tables = {family: table[table["family"] == family] for family in families}
    shown = {f"{HEADINGS[family]}: {tally(rows['verdict'])}": _shown(rows) for family, rows in tables.items()}
    caption = "What the paper claims, tested on these data: class accuracy in %, first → second (difference)."
    return tables_text("Claims", caption, shown, notes)


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The claims of a family, for reading; without the paper's figures where it has none."""
    reported, measured = (
        [_change(*pair) for pair in zip(rows[f"{kind}_first"], rows[f"{kind}_second"], strict=True)]
        for kind in ("reported", "measured")
    )
    shown = pd.DataFrame(
        {
            "Claim": rows["claim"].map(plain_text),
            "Input": rows["input"],
            "Reported": reported,
            "in": rows["reported_in"].map(_title),
            "Measured": measured,
            "Only first": rows["only_first"],
            "Only second": rows["only_second"],
            "p": [f"{p:.2g}" for p in rows["p"]],
            "corrected": [f"{p:.2g}" for p in rows["p_holm"]],
            "Verdict": rows["verdict"],
        }
    )
    return shown if any(reported) or rows.empty else shown.drop(columns=["Reported", "in"])
