"""Tables for reading, as Markdown: a heading, a caption, the table, and notes on what its figures depend on."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from stp.config import Fusion
from stp.data.run_name import pyramid_levels
from stp.evaluation.scores import Scores
from stp.system.versions import versions

# Letters that Markdown reads as markup; within a word, _ is none.
MARKUP = re.compile(r"[\\`*\[\]<>&|]|(?<![^\W_])_|_(?![^\W_])")


def plain_text(text: str) -> str:
    """Text of a user's, such as a clip's name, for a table or a note: Markdown shows it as it is, on one line."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def with_deviation(value: float, deviation: float, digits: int = 1) -> str:
    """`81.7 ± 0.4`; without the deviation if that is missing (NaN), and empty if the value is."""
    if pd.isna(value):
        return ""
    return f"{value:.{digits}f}" + ("" if pd.isna(deviation) else f" ± {deviation:.{digits}f}")


def table_text(title: str, caption: str, table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The text of the file; cells with empty or missing values are empty."""
    return _text([f"# {title}", "", caption, "", _grid(table), ""], notes)


def tables_text(title: str, caption: str, tables: Mapping[str, pd.DataFrame], notes: Sequence[str]) -> str:
    """The text of a file with several tables, each below a heading of its own; the notes are about all of them."""
    blocks = [line for heading, table in tables.items() for line in (f"## {heading}", "", _grid(table), "")]
    return _text([f"# {title}", "", caption, "", *blocks], notes)


def _grid(table: pd.DataFrame) -> str:
    cells: str = table.astype(object).where(table.notna(), "").to_markdown(index=False, disable_numparse=True)
    return cells


def _text(lines: list[str], notes: Sequence[str]) -> str:
    return "\n".join(lines + [f"- {note}" for note in notes]) + "\n"


def table1_notes(runs: Sequence[Scores], fusion: Fusion, skipped: Sequence[str]) -> list[str]:
    """Notes on the data, the fusion, the choice made for level 4, and skipped clips."""
    by_fold = {item.run.fold: len(item.clips) for item in runs}
    folds = ", ".join(str(by_fold[fold]) for fold in sorted(by_fold))
    seeds = sorted({item.run.seed for item in runs})
    average = "scores before softmax" if fusion.space == "scores" else "probabilities"
    notes = [
        f"{len(runs[0].classes)} classes; {len(by_fold)} folds of {folds} test clips.",
        f"Trained from seed {seeds[0]}."
        if len(seeds) == 1
        else f"Trained from seeds {', '.join(map(str, seeds))}; the figure of a fold is its mean over them.",
        "Class accuracy is the mean over classes; accuracy over all clips is in table1_long.csv.",
        f"Fusion: weighted average of {average}, "
        + ", ".join(f"{k.upper()} {v:g}" for k, v in fusion.weights.items())
        + ".",
    ]
    if fusion.learned:
        notes.append(
            "Learned: the same average with weights fitted for each fold on the clips that the other folds test, by "
            "cross entropy, none below 0; fusion.csv has them."
        )
    for level in sorted({pyramid_levels(item.run.method) for item in runs} - {0, 1, 2, 3}):
        parts = 2 ** (level - 1)
        notes.append(
            f"Level {level} needs {parts} parts, which the paper's 4 sub-segments cannot give (it does not say how): "
            f"where pyramid.subsegments is less, {parts} overlap, spread evenly over the same segment."
        )
    if skipped:
        notes.append(f"Left out because they do not decode: {'; '.join(map(plain_text, skipped))}.")
    return [*notes, version_note()]


def version_note() -> str:
    """The versions of everything that can change a number."""
    return "Versions: " + ", ".join(f"{name} {number}" for name, number in versions().items()) + "."
