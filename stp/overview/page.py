"""The page: facts, charts and clips in one file, `index.html`, that opens offline and asks for nothing.

Text of the user's is escaped by the template engine, and the data of the script are JSON in which no letter can end
its block.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from sklearn.metrics import confusion_matrix

from stp.config import PYRAMID, Fusion, Statistics
from stp.data.run_name import RunName
from stp.evaluation.differences import differences_table
from stp.evaluation.fused import LEARNED, Predictions, clip_shares, input_name, outcomes_by_cell, predict
from stp.evaluation.markdown import version_note
from stp.evaluation.scores import Scores
from stp.evaluation.significance import below_chance_notes, class_intervals, statistics_table
from stp.evaluation.table1 import heading
from stp.figures.page import table_html
from stp.overview.cards import best_cells, cell_name, health_card, p_figure, p_words, result_cards, stars
from stp.overview.charts import FEW, class_codes, confusion_chart, curves_chart
from stp.overview.clips import Tests, collect_tests
from stp.overview.complete import Notice
from stp.overview.files import Links, Picture, RuleTime
from stp.overview.health import STATES, RunHealth, run_health

DIGITS = 1  # of percent in charts; tables and csv files have more
Cell = tuple[str, str]  # input and variant


@dataclass(frozen=True)
class Numbers:
    """Everything that the page says of scored runs.

    statistics, differences   of pyramids, as in the csv files of these names; of all methods where there is no pyramid
    tests                     of all clips, by the networks of the lowest seed
    confusions                by cell, int (classes, classes), rows true, all folds and seeds
    bars                      by cell, float (classes, 3): accuracy of each class with its interval, in percent
    clips                     int (classes,), test clips of each class
    health                    of every run
    """

    statistics: pd.DataFrame
    differences: pd.DataFrame
    tests: Tests
    confusions: dict[Cell, np.ndarray]
    bars: dict[Cell, np.ndarray]
    clips: np.ndarray
    health: list[RunHealth]

    def cells(self) -> list[Cell]:
        """All inputs and variants: those of the statistics first, then methods beside the pyramid."""
        own = zip(self.statistics["input"], self.statistics["variant"], strict=True)
        return list(dict.fromkeys([*own, *self.confusions]))


def collect_numbers(
    scores: Sequence[Scores], fusion: Fusion, statistics: Statistics, logs: Mapping[RunName, pd.DataFrame]
) -> Numbers:
    """The numbers of complete runs (`stp.overview.complete`); `logs` are those of their trainings."""
    predictions = predict(scores, fusion)
    number = len(scores[0].classes)
    confusions: dict[Cell, np.ndarray] = {}
    for item in predictions:
        matrix = confusion_matrix(item.labels, item.classes_predicted(), labels=range(number))
        confusions[item.input, item.method] = confusions.get((item.input, item.method), 0) + matrix
    bars, clips = _class_bars(predictions, number, statistics)
    pyramids = [item for item in predictions if PYRAMID.fullmatch(item.method)] or predictions
    return Numbers(
        statistics_table(pyramids, statistics.resamples, statistics.seed),
        differences_table(pyramids),
        collect_tests(predictions, fusion.space),
        confusions,
        bars,
        clips,
        run_health(scores, logs),
    )


def _class_bars(
    predictions: Sequence[Predictions], number: int, statistics: Statistics
) -> tuple[dict[Cell, np.ndarray], np.ndarray]:
    """Accuracy of each class with its interval, by cell, and the number of clips of each class."""
    shares = {cell: clip_shares(tests) for cell, tests in outcomes_by_cell(predictions).items()}
    labels = next(iter(shares.values()))["label"].to_numpy()
    values = np.stack([own["share"].to_numpy() for own in shares.values()], axis=1)  # (clips, cells)
    found = np.full((len(shares), number, 3), np.nan)
    for label, sides in class_intervals(labels, values, statistics.resamples, statistics.seed).items():
        found[:, label, 0] = 100 * values[labels == label].mean(0)
        found[:, label, 1:] = sides
    return dict(zip(shares, found, strict=True)), np.bincount(labels, minlength=number)


@dataclass(frozen=True)
class Surroundings:
    """The parts of the page beside numbers; any of them may be empty.

    notices    on what is missing or wrong, at the top
    tables     Markdown files
    videos     addresses of clips' videos, by id
    """

    notices: Sequence[Notice]
    tables: Sequence[Path]
    pictures: Sequence[Picture]
    links: Sequence[Links]
    times: Sequence[RuleTime]
    videos: Mapping[str, str]
    config: Mapping[str, Any] | None


def overview_page(
    title: str,
    scores: Sequence[Scores],
    numbers: Numbers,
    logs: Mapping[RunName, pd.DataFrame],
    proposed: str,
    around: Surroundings,
) -> str:
    """The page as HTML.

    Args:
        title: what the data are called.
        scores: complete runs.
        numbers: theirs.
        logs: of their trainings, those that there are.
        proposed: the variant that is compared with the baseline.
        around: everything else.
    """
    statistics = numbers.statistics
    cells = numbers.cells()
    best = best_cells(statistics)[0]
    other = (best[0], "baseline") if (best[0], "baseline") in cells and best[1] != "baseline" else best
    classes = scores[0].classes
    folds, seeds = sorted({item.run.fold for item in scores}), sorted({item.run.seed for item in scores})
    environment = Environment(
        loader=PackageLoader("stp.overview"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tables = {path.stem: _titled(path) for path in around.tables}
    notices = [*around.notices, *map(Notice, below_chance_notes(statistics))]
    return environment.get_template("page.html").render(
        title=title,
        facts=[
            f"{len(set(numbers.tests.clips))} clips",
            f"{len(classes)} classes",
            f"{len(folds)} folds" if len(folds) > 1 else f"fold {folds[0]}",
            f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}",
        ],
        notices=notices,
        noticed=[name for notice in notices for name in notice.runs],
        cards=[*result_cards(statistics, numbers.differences, proposed), health_card(numbers.health)],
        heat=_heat(statistics, cells, best, 100 / len(classes)),
        chance=100 / len(classes),
        cells=[cell_name(*cell) for cell in cells],
        best=cells.index(best),
        other=cells.index(other),
        bars=_bar_rows(classes, numbers, other, best),
        confusions=_matrices(numbers, cells, classes),
        columns=max(3, min(6, statistics["variant"].nunique())),
        curves=_curves(numbers, logs, 100 / len(classes)),
        codes=class_codes(classes) if len(classes) <= FEW else None,
        classes=classes,
        states=STATES,
        unwell=[(cell_name(input_name(run.name.input), run.name.method), run) for run in _unwell(numbers.health)],
        differences=_difference_rows(numbers.differences),
        methods=tables.pop("methods", None),
        tables=list(tables.values()),
        around=around,
        config=json.dumps(around.config, indent=2) if around.config is not None else "",
        versions=version_note(),
        style=_asset("style.css"),
        script=_asset("page.js"),
        data=embedded_json(_script_data(classes, cells, numbers, around.videos)),
    )


def _asset(name: str) -> Markup:
    return Markup(files("stp.overview").joinpath("templates", name).read_text(encoding="utf-8"))


def embedded_json(values: Any) -> Markup:
    """JSON for a script block of HTML: no letter of it can end the block or begin markup."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _titled(path: Path) -> tuple[str, str, Markup]:
    """A table's name, its heading, and everything below the heading."""
    heading_html, _, rest = table_html(path).removeprefix("<section>").removesuffix("</section>").partition("</h1>")
    return path.stem, Markup(heading_html.removeprefix("<h1>")).unescape(), Markup(rest)


def _heat(statistics: pd.DataFrame, cells: Sequence[Cell], best: Cell, chance: float) -> dict[str, Any]:
    """Table 1: the headings of its columns, and rows of cells; `heat` is 0 at chance and 1 at 100 %."""
    inputs, variants = (list(dict.fromkeys(values)) for values in (statistics["input"], statistics["variant"]))
    rows: dict[Cell, Mapping[Any, Any]] = {
        (str(row["input"]), str(row["variant"])): row for row in statistics.to_dict("records")
    }
    table = []
    for name in inputs:
        line: list[dict[str, Any] | None] = []
        for variant in variants:
            row = rows.get((name, variant))
            cell = (name, variant)
            line.append(_heat_cell(row, cells.index(cell), cell == best, chance) if row else None)
        table.append((name, line))
    return {"variants": [heading(variant) for variant in variants], "rows": table}


def _heat_cell(row: Mapping[str, Any], number: int, is_best: bool, chance: float) -> dict[str, Any]:
    accuracy, deviation, p = row["class_accuracy"], row["fold_std"], row["p_holm"]
    name, interval = cell_name(row["input"], row["variant"]), f"{row['low']:.1f} to {row['high']:.1f}"
    words = f"{name}: {accuracy:.1f} %, 95 % interval {interval}"
    if pd.notna(p):
        words += (
            f"; against the baseline {int(row['only_variant'])} clips won, {int(row['only_baseline'])} lost, "
            f"{p_words(p)} corrected"
        )
    return {
        "number": number,
        "accuracy": f"{accuracy:.1f}",
        "deviation": "" if pd.isna(deviation) else f"±{deviation:.1f}",
        "stars": stars(p),
        "heat": f"{max(0.0, (accuracy - chance) / (100 - chance)):.3f}" if chance < 100 else "0",
        "best": is_best,
        "words": words,
    }


def _bar_rows(classes: Sequence[str], numbers: Numbers, first: Cell, second: Cell) -> list[dict[str, Any]]:
    """A row per class with the bars of two cells, None for a class without test clips."""

    def bar(cell: Cell, number: int) -> dict[str, float] | None:
        accuracy, low, high = numbers.bars[cell][number]
        if np.isnan(accuracy):
            return None
        return {"accuracy": round(accuracy, DIGITS), "low": round(low, DIGITS), "high": round(high, DIGITS)}

    return [
        {"name": name, "clips": int(numbers.clips[i]), "bars": [bar(first, i), bar(second, i)]}
        for i, name in enumerate(classes)
    ]


def _matrices(numbers: Numbers, cells: Sequence[Cell], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The small confusion matrices; those of learned fusions stand apart."""
    codes = class_codes(classes)
    return [
        {
            "number": number,
            "name": cell_name(*cell),
            "chart": confusion_chart(numbers.confusions[cell], codes, _confusion_words(numbers, cell, classes)),
            "learned": cell[0].endswith(LEARNED),
        }
        for number, cell in enumerate(cells)
    ]


def _unwell(runs: Sequence[RunHealth]) -> list[RunHealth]:
    """The runs that are not well, in the order of STATES."""
    places = list(STATES)
    return sorted((run for run in runs if run.state != "ok"), key=lambda run: places.index(run.state))


def _confusion_words(numbers: Numbers, cell: Cell, classes: Sequence[str]) -> str:
    """A confusion matrix in words, for those who do not see it: how much is right, and the commonest confusion."""
    counts = numbers.confusions[cell]
    words = f"Confusion matrix of {cell_name(*cell)}: {np.trace(counts)} of {counts.sum()} tests right"
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return words
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    return f"{words}; most often {classes[row]} is taken for {classes[column]} ({wrong[row, column]} times)"


def _curves(numbers: Numbers, logs: Mapping[RunName, pd.DataFrame], chance: float) -> list[dict[str, Any]]:
    """A chart for each trained input and variant that has logs of several epochs."""
    runs: dict[tuple[str, str], list[RunHealth]] = {}
    for run in numbers.health:
        runs.setdefault((run.name.input, run.name.method), []).append(run)
    places = {cell: place for place, cell in enumerate(numbers.cells())}
    charts = []
    for run_input, method in sorted(runs, key=lambda key: places[input_name(key[0]), key[1]]):
        own, cell = runs[run_input, method], (input_name(run_input), method)
        found = [logs[run.name] for run in own if run.name in logs]
        if not found or max(map(len, found)) < 2:
            continue
        trained, tested = np.nanmean([run.trained for run in own]), np.nanmean(numbers.bars[cell][:, 0])
        ends = f"{trained:.0f} % in training, {tested:.0f} % in test"
        words = f"{cell_name(*cell)}: loss and accuracy over {max(map(len, found))} epochs; in the end {ends}"
        states = Counter(run.state for run in own if run.state != "ok")
        charts.append(
            {
                "name": cell_name(*cell),
                "chart": curves_chart(found, float(tested), chance, words),
                "trained": f"{trained:.0f}",
                "tested": f"{tested:.0f}",
                "states": [f"{count} {state}" if len(own) > 1 else state for state, count in states.items()],
            }
        )
    return charts


def _difference_rows(differences: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of the table of differences, with p as it is read and its mark."""
    rows: list[dict[Any, Any]] = differences.to_dict("records")
    return [{**row, "p_words": p_figure(row["p_holm"]), "stars": stars(row["p_holm"])} for row in rows]


def _script_data(
    classes: Sequence[str], cells: Sequence[Cell], numbers: Numbers, videos: Mapping[str, str]
) -> dict[str, Any]:
    """The data from which the page's script draws: numbers of classes, clips and cells stand for their names."""
    tests = numbers.tests
    clips = list(dict.fromkeys(tests.clips))
    number = {clip: i for i, clip in enumerate(clips)}
    return {
        "classes": list(classes),
        "clips": clips,
        "videos": [videos.get(clip, "") for clip in clips],
        "tests": {
            "clip": [number[clip] for clip in tests.clips],
            "label": tests.labels.tolist(),
            "fold": tests.folds.tolist(),
        },
        "cells": [
            {
                "input": cell[0],
                "variant": cell[1],
                "predicted": tests.predicted[cell].tolist(),
                "sure": np.rint(100 * tests.sure[cell]).astype(int).tolist(),
                "confusion": numbers.confusions[cell].tolist(),
                "bars": [
                    None if np.isnan(bar[0]) else [round(float(value), DIGITS) for value in bar]
                    for bar in numbers.bars[cell]
                ],
            }
            for cell in cells
        ],
    }
