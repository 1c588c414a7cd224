"""The table of learned fusions: the weights of each stream, fitted for each fold."""

from collections.abc import Sequence

import pandas as pd

from stp.config import FusionSpace
from stp.evaluation.fused import STREAMS, learned_fusions
from stp.evaluation.markdown import table_text, version_note, with_deviation
from stp.evaluation.scores import Scores

KEYS = ["input", "variant"]


def fusion_table(scores: Sequence[Scores], space: FusionSpace) -> pd.DataFrame:
    """One row per fused input, variant, fold and seed, and a column for each stream with its weight.

    A fold's weights sum to 1, or are all 0 where no stream helps; those of streams that the input lacks are NaN.

    Raises:
        UserError: as for `learned_fusions`.
    """
    rows = [
        {"input": item.input, "variant": item.method, "fold": item.fold, "seed": item.seed} | weights
        for item, weights in learned_fusions(scores, space)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "fold", "seed", *STREAMS]).dropna(axis=1, how="all")


def fusion_text(table: pd.DataFrame) -> str:
    """The table as Markdown: mean weights over folds and seeds, and their standard deviations."""
    streams = [name for name in STREAMS if name in table.columns]
    by_row = table.groupby(KEYS, sort=False)[streams]
    means, deviations = by_row.mean(), by_row.std()
    shown = means.index.to_frame(index=False)
    for name in streams:
        pairs = zip(means[name], deviations[name], strict=True)
        shown[name.upper()] = [with_deviation(mean, deviation, 2) for mean, deviation in pairs]
    notes = [
        "The weights of a fold are fitted on the clips that the other folds test, by cross entropy, none below 0; they "
        "sum to 1. A stream of weight 0 would do harm. Weights of every fold and seed are in fusion.csv.",
    ]
    if useless := int((table[streams].fillna(0) == 0).all(axis=1).sum()):
        notes.append(
            f"In {useless} of these {len(table)} fusions no stream helps: all weights are 0, and every clip is taken "
            "for the first class."
        )
    notes.append(version_note())
    caption = "Learned weights of the streams, mean ± standard deviation over folds and seeds."
    return table_text("Fusion", caption, shown.rename(columns={"input": "Input", "variant": "Variant"}), notes)
