"""The best against the rest, inputs against inputs, levels against levels: tests worked out by hand."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stp.cli import results
from stp.data.run_name import RunName
from stp.evaluation.differences import COLUMNS, differences_notes, differences_table, differences_text
from stp.evaluation.fused import Predictions
from stp.evaluation.scores import Scores, write_scores

CLASSES = ("nod", "none")
CLIPS = 24


def run(name: str, method: str, right: int, first: int = 0) -> Predictions:
    """A run that recognises the clips `first` to `first + right - 1` of 24, all of class nod."""
    recognised = (np.arange(CLIPS) >= first) & (np.arange(CLIPS) < first + right)
    scores = np.eye(2)[np.where(recognised, 0, 1)]
    clips = tuple(f"clip{i}" for i in range(CLIPS))
    return Predictions(name, method, 1, 0, CLASSES, (), clips, np.zeros(CLIPS, int), scores)


RUNS = [run("RGB", "baseline", 4), run("RGB", "3-level", 12), run("OF", "baseline", 12), run("OF", "3-level", 24)]


def rows(table: pd.DataFrame, question: str, group: str = "") -> list[dict[str, object]]:
    chosen = table[(table["question"] == question) & (table["group"] == group)]
    return [{str(name): value for name, value in row.items()} for row in chosen.to_dict("records")]


def plain_holm(p: Sequence[float]) -> list[float]:
    """The smallest p times the number of tests, the next one times one less, ...; none below one before it."""
    found, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1, p[place] * (len(p) - rank)))
        found[place] = highest
    return found


def test_the_best_is_tested_against_every_other_cell() -> None:
    table = differences_table(RUNS)
    assert tuple(table) == COLUMNS
    best = rows(table, "best")
    assert [(row["first"], row["second"]) for row in best] == [
        (name, "OF 3-level") for name in ("RGB baseline", "RGB 3-level", "OF baseline")
    ]
    assert [row["difference"] for row in best] == pytest.approx([100 * 20 / 24, 50, 50], abs=1e-4)
    assert [row["only_first"] for row in best] == [0, 0, 0]
    assert [row["only_second"] for row in best] == [20, 12, 12]
    assert {row["tests"] for row in best} == {3}
    p = [2 / 2**20, 2 / 2**12, 2 / 2**12]
    assert [row["p"] for row in best] == pytest.approx(p, rel=1e-3)
    assert [row["p_holm"] for row in best] == pytest.approx(plain_holm(p), rel=1e-3)


def test_inputs_are_tested_within_a_variant_and_levels_within_an_input() -> None:
    table = differences_table(RUNS)
    (inputs,) = rows(table, "inputs", "3-level")
    assert (inputs["first"], inputs["second"], inputs["only_second"]) == ("RGB 3-level", "OF 3-level", 12)
    assert inputs["p"] == inputs["p_holm"]  # of one test
    (levels,) = rows(table, "levels", "RGB")
    assert (levels["first"], levels["second"], levels["only_second"]) == ("RGB baseline", "RGB 3-level", 8)
    assert len(table) == 3 + 2 + 2


def test_each_group_is_corrected_for_its_own_tests_alone() -> None:
    names = ("RGB", "OF", "WOF", "RGB+OF")
    table = differences_table([run(name, "3-level", 3 + 5 * i) for i, name in enumerate(names)])
    found = rows(table, "inputs", "3-level")
    assert [(row["first"], row["second"]) for row in found] == [
        (f"{a} 3-level", f"{b} 3-level") for a, b in combinations(names, 2)
    ]
    p = [2 / 2 ** (5 * (b - a)) for a, b in combinations(range(4), 2)]
    assert [row["p_holm"] for row in found] == pytest.approx(plain_holm(p), rel=1e-3)
    assert {row["tests"] for row in found} == {6}
    assert rows(table, "levels", "OF") == []  # one variant


def test_the_first_of_equal_cells_is_the_best_and_one_cell_alone_has_no_tests() -> None:
    table = differences_table([run("RGB", "3-level", 12), run("OF", "3-level", 12, first=12)])
    assert rows(table, "best")[0]["second"] == "RGB 3-level"
    alone = differences_table(RUNS[:1])
    assert (tuple(alone), len(alone)) == (COLUMNS, 0)
    assert "# Differences" in differences_text(alone, differences_notes(alone, 0))


def test_pairs_that_may_be_chance_are_in_the_csv_alone(tmp_path: Path) -> None:
    files = []
    for number, item in enumerate([*RUNS, run("WOF", "baseline", 13), run("WOF", "3-level", 13)]):
        name = RunName(item.input.lower(), item.method, item.fold)
        files.append(tmp_path / f"{number}.h5")
        values = item.scores[:, None].astype(np.float32)
        write_scores(files[-1], Scores(name, CLASSES, item.clips, item.labels, values), {})
    results.differences(files, tmp_path / "d.csv", tmp_path / "d.md")
    table, text = pd.read_csv(tmp_path / "d.csv"), (tmp_path / "d.md").read_text()
    pair = table[(table["first"] == "WOF baseline") & (table["second"] == "WOF 3-level")]
    assert pair["p_holm"].tolist() == [1]
    assert not any("levels" in line and "| WOF baseline" in line for line in text.splitlines())
    assert any("levels" in line and "| RGB baseline" in line for line in text.splitlines())
    hidden = ((table["question"] != "best") & (table["p_holm"] >= 0.05)).sum()
    assert f"- {hidden} pairs of inputs and of levels whose corrected p is 0.05 or more are in differences.csv" in text
