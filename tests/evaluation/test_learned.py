"""Learned fusion: weights fitted on other folds' clips, none below 0, without a look at the fold's own labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stp.cli.app import app
from stp.config import Fusion
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation.fused import learned_fusions, predict
from stp.evaluation.fusion_table import fusion_table, fusion_text
from stp.evaluation.learned import fit_weights, learned_weights
from stp.evaluation.scores import Scores, write_scores

CLASSES = ("nod", "shake", "wave")
CLIPS = 60  # of a fold
LEARNED = Fusion(learned=True)


def noisy(labels: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Scores (clips, classes) that speak for the right class with this strength, or against it, in noise of 1."""
    return strength * np.eye(3)[labels] + np.random.default_rng(seed).normal(size=(len(labels), 3))


def runs_of(strengths: Mapping[str, float], folds: int = 3, method: str = "3-level", seed: int = 0) -> list[Scores]:
    """Scores of streams of these strengths, of one segment a clip."""
    runs = []
    for fold in range(1, folds + 1):
        labels = np.random.default_rng(fold).integers(0, 3, CLIPS)
        clips = tuple(f"{fold}-{i}" for i in range(CLIPS))
        for number, (stream, strength) in enumerate(strengths.items()):
            values = noisy(labels, strength, 10 * fold + number)[:, None].astype(np.float32)
            runs.append(Scores(RunName(stream, method, fold, seed), CLASSES, clips, labels, values))
    return runs


LABELS = np.random.default_rng(0).integers(0, 3, 300)


def test_a_stream_that_harms_gets_weight_zero() -> None:
    good, bad = noisy(LABELS, 2, 1), noisy(LABELS, -2, 2)
    assert fit_weights(np.stack([bad, good]), LABELS).tolist() == [0, 1]
    assert fit_weights(np.stack([bad, bad]), LABELS).tolist() == [0, 0]


def test_the_better_stream_weighs_more_and_scales_do_not_matter() -> None:
    better, worse = noisy(LABELS, 3, 1), noisy(LABELS, 1, 2)
    weights = fit_weights(np.stack([better, worse]), LABELS)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 2 * weights[1] > 0
    other = fit_weights(np.stack([better, 100 * worse + 7]), LABELS)
    assert weights[0] / weights[1] == pytest.approx(other[0] / (100 * other[1]), rel=0.01)


def test_weights_are_those_of_the_lowest_cross_entropy() -> None:
    """On a grid of directions and lengths, none has a lower loss than that of the fitted direction."""
    streams = np.stack([noisy(LABELS, 1.5, 1), noisy(LABELS, 1, 2)])

    def loss(weights: np.ndarray) -> float:
        fused = np.tensordot(weights, streams, 1)
        chances = np.exp(fused) / np.exp(fused).sum(1, keepdims=True)
        return float(-np.log(chances[np.arange(len(LABELS)), LABELS]).sum())

    lengths = np.linspace(0.1, 3, 30)
    fitted = min(loss(length * fit_weights(streams, LABELS)) for length in lengths)
    for share in np.linspace(0, 1, 11):
        assert min(loss(length * np.array([share, 1 - share])) for length in lengths) > fitted - 0.2


def test_streams_without_a_mistake_or_without_a_word_have_finite_weights() -> None:
    perfect, silent = np.eye(3)[LABELS], np.zeros((len(LABELS), 3))
    assert fit_weights(np.stack([perfect, silent]), LABELS).tolist() == [1, 0]
    assert fit_weights(np.stack([perfect, perfect]), LABELS).tolist() == [0.5, 0.5]
    assert fit_weights(np.stack([silent, silent]), LABELS).tolist() == [0, 0]


def relabelled(runs: Sequence[Scores], fold: int) -> list[Scores]:
    """The runs, with the labels of one fold moved among its clips."""
    moved = np.random.default_rng(1).permutation(CLIPS)
    return [replace(run, labels=run.labels[moved]) if run.run.fold == fold else run for run in runs]


def test_no_label_of_a_fold_has_a_part_in_its_weights() -> None:
    runs = runs_of({"rgb": 0.5, "of": 2, "wof": 1})
    before = {(item.input, item.fold): weights for item, weights in learned_fusions(runs, "scores")}
    after = {(item.input, item.fold): weights for item, weights in learned_fusions(relabelled(runs, 2), "scores")}
    assert len(before) == 3 * 3
    for name, fold in before:
        assert (before[name, fold] == after[name, fold]) == (fold == 2)


def test_a_clip_that_another_fold_tests_too_has_no_part_in_a_folds_weights() -> None:
    """As in official splits that overlap."""
    own = [run for run in runs_of({"rgb": 1, "of": 2}) if run.run.fold == 1]
    other = [run for run in runs_of({"rgb": 1, "of": 2}) if run.run.fold == 2]
    shared = [replace(run, clips=(*own[0].clips[:30], *run.clips[30:])) for run in other]
    rest = [replace(run, clips=run.clips[30:], labels=run.labels[30:], values=run.values[30:]) for run in other]
    weights = [learned_weights(own, [runs], "scores").tolist() for runs in (other, shared, rest)]
    assert weights[1] == weights[2] != weights[0]
    with pytest.raises(
        UserError, match=r"fusion.learned: the weights of fold 1 .*, and there are none; use more folds"
    ):
        learned_weights(own, [[replace(run, clips=own[0].clips) for run in other]], "scores")


def test_the_table_of_weights_names_fusions_in_which_no_stream_helps() -> None:
    helpful, harmful = (fusion_table(runs_of({"rgb": gain, "of": gain}), "scores") for gain in (2, -2))
    assert "no stream helps" not in fusion_text(helpful)
    assert not harmful[["rgb", "of"]].to_numpy().any()
    assert "In 3 of these 3 fusions no stream helps: all weights are 0" in fusion_text(harmful)


@pytest.mark.parametrize("space", ["scores", "probabilities"])
def test_a_poisoned_stream_costs_nothing_and_other_rows_stay_as_they_are(space: str) -> None:
    plain = Fusion(space)  # type: ignore[arg-type]
    runs = runs_of({"rgb": -2, "of": 2, "wof": 2})
    found, before = predict(runs, replace(plain, learned=True)), predict(runs, plain)
    names = ["RGB+OF, learned", "OF+WOF, learned", "RGB+OF+WOF, learned"]
    assert list(dict.fromkeys(item.input for item in found[len(before) :])) == names
    for item, other in zip(found, before, strict=False):
        assert (item.input, item.method, item.fold) == (other.input, other.method, other.fold)
        assert np.array_equal(item.scores, other.scores)

    def right(name: str) -> float:
        chosen = [item for item in found if item.input == name]
        return float(np.mean([item.classes_predicted() == item.labels for item in chosen]))

    assert right("RGB+OF") < right("OF") == right("RGB+OF, learned")
    assert right("RGB+OF+WOF, learned") == right("OF+WOF, learned") > right("RGB+OF+WOF")
    for item, weights in learned_fusions(runs, plain.space):
        assert weights.get("rgb", 0) == 0, item.input


def test_one_fold_has_nothing_to_learn_from() -> None:
    with pytest.raises(UserError, match=r"fusion.learned: the weights of fold 1 are fitted on clips that other folds"):
        predict(runs_of({"rgb": 1, "of": 1}, folds=1), LEARNED)


def test_methods_and_seeds_have_weights_of_their_own() -> None:
    plans = [("baseline", 0, {"rgb": 2, "of": -2}), ("3-level", 0, {"rgb": -2, "of": 2})]
    plans.append(("3-level", 5, {"rgb": 2, "of": -2}))
    plans.append(("baseline", 5, {"rgb": -2, "of": 2}))
    runs = [run for method, seed, strengths in plans for run in runs_of(strengths, 2, method, seed)]
    table = fusion_table(runs, "scores")
    assert table.columns.tolist() == ["input", "variant", "fold", "seed", "rgb", "of"]
    assert table[["variant", "fold", "seed", "rgb", "of"]].to_numpy().tolist() == [
        *[["baseline", 1, 0, 1, 0], ["baseline", 1, 5, 0, 1], ["baseline", 2, 0, 1, 0], ["baseline", 2, 5, 0, 1]],
        *[["3-level", 1, 0, 0, 1], ["3-level", 1, 5, 1, 0], ["3-level", 2, 0, 0, 1], ["3-level", 2, 5, 1, 0]],
    ]
    assert "| RGB+OF, learned | baseline  | 0.50 ± 0.58 | 0.50 ± 0.58 |" in fusion_text(table)


def test_tables_have_rows_of_learned_fusions_below_and_the_weights_are_written(tmp_path: Path) -> None:
    files = []
    for run in runs_of({"rgb": -2, "of": 2}):
        files.append(str(tmp_path / f"{str(run.run).replace('/', '_')}.h5"))
        write_scores(Path(files[-1]), run, {})

    def table(command: str, *options: str) -> list[str]:
        path, text = tmp_path / f"{command}.csv", tmp_path / f"{command}.md"
        app([command, *files, f"--output={path}", f"--text={text}", *options], standalone_mode=False)
        return path.read_text().splitlines()

    for command, options in {"table1": [f"--long={tmp_path / 'long.csv'}"], "metrics": [], "statistics": []}.items():
        before = table(command, *options)
        long = (tmp_path / "long.csv").read_text().splitlines()
        after = table(command, *options, "--learned")
        assert len(after) == len(before) + 1
        assert after[-1].startswith('"RGB+OF, learned",')
        if command == "statistics":  # p_below_chance is corrected for the number of rows
            before, after = ([row.rpartition(",")[0] for row in rows] for rows in (before, after))
        assert after[:-1] == before
        assert (tmp_path / "long.csv").read_text().splitlines()[: len(long)] == long
    assert "- Below chance beyond doubt: RGB, 3-level (" in (tmp_path / "table1.md").read_text()
    assert "fusion.csv has them" in (tmp_path / "table1.md").read_text()
    table("fusion")
    weights = pd.read_csv(tmp_path / "fusion.csv")
    assert weights[["fold", "seed", "rgb", "of"]].to_numpy().tolist() == [[1, 0, 0, 1], [2, 0, 0, 1], [3, 0, 0, 1]]
