"""Comparisons with other methods (paper section 4.2, Table 2; section 5, Table 3): reported and measured figures.

Reported figures are data (`config/reported/NAME.csv`), one row per method and metric:

    method, pretraining   as the paper prints them
    metric                one of `stp.evaluation.metrics.METRICS`
    reported              percent; empty if nobody has reported a figure
    source                who reported the figure
    data                  the data that the figure was reported on
    streams, variant      input and method of our run that measures it, such as rgb+of+wof and 3-level, or idt and idt;
                          empty if none
    note                  sentences; one that begins with `Needs` says what there must be for the method to be measured,
                          and stands in its row where it is not
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stp.config import FEATURE_SOURCES
from stp.data.modalities import MODALITIES
from stp.errors import UserError
from stp.evaluation.fused import Predictions, clip_outcomes, clip_shares, input_name
from stp.evaluation.markdown import plain_text, table_text, with_deviation
from stp.evaluation.metrics import METRICS
from stp.evaluation.significance import class_intervals
from stp.system.tables import read_table

COLUMNS = ("method", "pretraining", "metric", "reported", "source", "data", "streams", "variant", "note")


def read_reported(path: Path) -> pd.DataFrame:
    """Read reported figures; `reported` is float, NaN where empty, everything else is text.

    Raises:
        UserError: the columns are wrong, or a row has an invalid metric, figure, streams or variant.
    """
    names, rows = read_table(path)
    if tuple(names) != COLUMNS:
        raise UserError(f"{path}: columns are {', '.join(names)}; they must be {', '.join(COLUMNS)}")
    for number, row in rows:
        where = f"{path}, line {number}"
        if row["metric"] not in METRICS:
            raise UserError(f"{where}: metric '{row['metric']}' is unknown; allowed are {', '.join(METRICS)}")
        streams = row["streams"].split("+") if row["streams"] else []
        if bool(streams) != bool(row["variant"]) or not set(streams) <= {*MODALITIES, *FEATURE_SOURCES}:
            raise UserError(
                f"{where}: streams '{row['streams']}' and variant '{row['variant']}' are no run of ours; give both, "
                "such as rgb+of and 3-level, or leave both empty"
            )
        try:
            possible = 0 <= float(row["reported"] or 0) <= 100
        except ValueError:
            possible = False
        if not possible:
            raise UserError(f"{where}: reported '{row['reported']}' is not a number of percent; give one, or nothing")
    table = pd.DataFrame([row for _, row in rows], columns=list(COLUMNS))
    return table.assign(reported=pd.to_numeric(table["reported"]))


@dataclass(frozen=True)
class Measured:
    """Our own measurements: a `summary` (`stp.evaluation.metrics.summarise`), the name of its data, and pre-training.

    `pretraining` is that of the runs, by input and method, where it is known.
    """

    summary: pd.DataFrame
    data: str
    pretraining: Mapping[tuple[str, str], str]


def compare(reported: pd.DataFrame, measured: Measured | None) -> pd.DataFrame:
    """The reported figures with ours beside them; before anything is scored, and for methods without scores, none."""
    found = {(row["input"], row["variant"]): row for _, row in measured.summary.iterrows()} if measured else {}
    rows: list[tuple[float, float, str, str]] = []
    for row in reported.to_dict("records"):
        key, metric = (input_name(row["streams"]), row["variant"]), row["metric"]
        if measured is None or key not in found or pd.isna(found[key][metric]):
            rows.append((float("nan"), float("nan"), "", ""))
        else:
            figures = found[key][metric], found[key][f"{metric}_std"]
            rows.append((*figures, measured.data, measured.pretraining.get(key, "")))
    columns = ["measured", "measured_std", "measured_on", "measured_pretraining"]
    table = pd.concat([reported, pd.DataFrame(rows, columns=columns, index=reported.index)], axis=1)
    table = table.rename(columns={"data": "reported_on"})
    order = [
        "method",
        "pretraining",
        "metric",
        "reported",
        "reported_on",
        *columns,
        "streams",
        "variant",
        "source",
        "note",
    ]
    return table[order].round({"measured": 4, "measured_std": 4})


def same_data(reported_on: str, measured_on: str) -> bool:
    """True if figures are of the same data set: the first name of one begins with that of the other, but for marks."""
    reported, measured = (re.sub(r"\W", "", text).casefold() for text in (reported_on, measured_on.partition(" ")[0]))
    return bool(measured) and reported.startswith(measured)


def comparison_text(name: str, table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The comparison as Markdown, with sources and notes below it.

    Figures measured on other data than those reported stand in a block of their own, which says so.
    """
    title = f"Table {name.removeprefix('table')}" if name.startswith("table") else f"Comparison {name}"
    measured = zip(table["measured"], table["measured_std"], table["note"].map(needed), strict=True)
    shown = pd.DataFrame(
        {
            "Method": table["method"],
            "Pretraining": table["pretraining"],
            "Metric": table["metric"].str.replace("_", " "),
            "Reported": [with_deviation(value, float("nan")) for value in table["reported"]],
            "on": table["reported_on"].where(table["reported"].notna(), ""),
            "Measured": [with_deviation(value, deviation) or needs for value, deviation, needs in measured],
            "on ": table["measured_on"].map(plain_text),
            "Pretraining here": table["measured_pretraining"].map(plain_text),
        }
    )
    if table["metric"].nunique() == 1:
        shown = shown.drop(columns="Metric")
    if not table["measured_pretraining"].any():  # scores of earlier versions do not say it
        shown = shown.drop(columns="Pretraining here")
    sources = table[table["source"] != ""].groupby("source", sort=False)["method"].unique()
    words = [f"{', '.join(methods)}: {source}" for source, methods in sources.to_dict().items()]
    words += dict.fromkeys(f"{row['method']}: {row['note']}" for row in table.to_dict("records") if row["note"])
    below = ["Pretraining is that of the reported figure.", *words, *notes]
    figures = table[table["measured"].notna()]
    pairs = zip(figures["reported_on"], figures["measured_on"], strict=True)
    if figures.empty or any(same_data(reported_on, measured_on) for reported_on, measured_on in pairs):
        caption = "Figures in %, reported by others and measured here, ± standard deviation of the folds."
        return table_text(title, caption, shown, below)
    here = shown.drop(columns=["Pretraining", "Reported", "on", "on "])
    here = here[here["Measured"] != ""].rename(columns={"Pretraining here": "Pretraining"})
    shown = shown.drop(columns=["Measured", "on ", "Pretraining here"], errors="ignore")
    block = (
        f"## Measured here, on {plain_text(figures['measured_on'].iloc[0])}: not comparable\n\n"
        "The same methods on other data, whose figures say nothing about those above. In %, ± standard deviation of "
        f"the folds.\n\n{here.to_markdown(index=False, disable_numparse=True)}\n"
    )
    first = table_text(title, "Figures in %, as others report them.", shown, [])
    return f"{first}{block}\n" + "".join(f"- {note}\n" for note in below)


def needed(note: str) -> str:
    """The needs of a method, from the sentence of its note that names them; empty where there is none."""
    sentences = re.split(r"(?<=\.) ", note)
    return next((f"n{text[1:]}".rstrip(".") for text in sentences if text.startswith("Needs ")), "")


def measured_methods(reported: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The methods of a comparison that are measured by runs of our own: (name, input, method) each."""
    methods = reported[reported["streams"] != ""].drop_duplicates("method").to_dict("records")
    return [(row["method"], input_name(row["streams"]), row["variant"]) for row in methods]


def class_accuracies(
    named: Sequence[tuple[str, str, str]], predictions: Sequence[Predictions], resamples: int, seed: int
) -> pd.DataFrame:
    """Accuracy of each class (paper's Figure 6), one row per named method and class.

    method, class, clips   clips of the class are counted once
    accuracy               share of the class's clips that are recognised, in percent, over all folds and seeds; NaN for
                           a class without test clips
    low, high              its 95 % interval (`class_intervals`, by `resamples` from `seed`)

    `named` lists (name, input, method); entries without predictions are left out.
    """
    tables = []
    for name, *key in named:
        chosen = [item for item in predictions if [item.input, item.method] == key]
        if not chosen:
            continue
        shares = clip_shares(clip_outcomes(chosen))
        labels, values = shares["label"].to_numpy(), shares["share"].to_numpy()
        intervals = class_intervals(labels, values[:, None], resamples, seed)
        by_class = shares.groupby("label")["share"].agg(["size", "mean"]).reindex(range(len(chosen[0].classes)))
        sides = np.array([intervals.get(label, np.full((1, 2), np.nan))[0] for label in by_class.index])
        tables.append(
            pd.DataFrame(
                {
                    "method": name,
                    "class": chosen[0].classes,
                    "clips": by_class["size"].fillna(0).astype(int),
                    "accuracy": (100 * by_class["mean"]).round(4),
                    "low": sides[:, 0].round(4),
                    "high": sides[:, 1].round(4),
                }
            )
        )
    if not tables:
        allowed = " or of ".join(f"{streams.lower()} {method}" for _, streams, method in named)
        raise UserError(f"no method of the comparison is measured; give scores of {allowed}")
    return pd.concat(tables, ignore_index=True)
