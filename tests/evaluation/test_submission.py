"""Submissions of hidden clips, by an example worked out by hand, and what is refused."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.cli.options import parse_options
from stp.config import Fusion, FusionSpace
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation.fused import Predictions
from stp.evaluation.metrics import measure
from stp.evaluation.scores import Scores, write_scores
from stp.evaluation.submission import submission_table

FUSION = Fusion(weights={"rgb": 1.0, "of": 3.0, "wof": 1.0})
CLASSES = ("nod", "shake", "wave", "point", "kick", "sit")
PARTS = ("head", "head", "arm", "hand", "leg", "body")


def hidden(modality: str, probabilities: list[list[float]], label: int = -1) -> Scores:
    """Scores, of one segment a clip, whose softmax is given."""
    values = np.log(np.array(probabilities, dtype=np.float32))[:, None]
    clips = tuple(f"test{i}.mp4" for i in range(len(values)))
    return Scores(RunName(modality, "3-level", 1), CLASSES, clips, np.full(len(values), label), values, PARTS)


# Of clip 0 waving is the likeliest action, though the two of the head together are likelier; clip 1 is all ties.
ALONE = [[0.25, 0.2, 0.3, 0.05, 0.15, 0.05], [1 / 6] * 6]


def test_body_parts_are_those_of_the_actions() -> None:
    table = submission_table([hidden("rgb", ALONE)], FUSION)
    assert table.values.tolist() == [
        ["test0.mp4", 2, 0, 1, 4, 3, 1, 0, 0, 3, 2],
        ["test1.mp4", 0, 1, 2, 3, 4, 0, 0, 1, 2, 3],
    ]


def part_of(action: int) -> int:
    """The body part of an action of Micro-Action 52, as its authors state it."""
    last = {0: 4, 1: 10, 2: 23, 3: 31, 4: 37, 5: 47, 6: 51}
    return min(part for part, action_of_part in last.items() if action <= action_of_part)


def test_submission_and_f1_mean_take_the_predicted_actions_body_part() -> None:
    rng = np.random.default_rng(0)
    classes, coarse = tuple(f"a{i}" for i in range(52)), tuple(f"b{part_of(i)}" for i in range(52))
    values, labels = rng.normal(size=(300, 1, 52)).astype(np.float32), rng.integers(0, 52, 300)
    clips = tuple(f"test{i}.mp4" for i in range(300))
    run = Scores(RunName("rgb", "3-level", 1), classes, clips, np.full(300, -1), values, coarse)
    table = submission_table([run], FUSION)
    for rank in range(1, 6):
        assert table[f"body_pred_{rank}"].tolist() == [part_of(action) for action in table[f"action_pred_{rank}"]]
    known = Predictions("RGB", "3-level", 1, 0, classes, coarse, clips, labels, values[:, 0])
    right = [part_of(label) == part for label, part in zip(labels, table["body_pred_1"], strict=True)]
    assert measure(known)["coarse_f1_micro"] == pytest.approx(100 * np.mean(right))


def test_streams_are_fused_by_their_weights() -> None:
    kick = [[0.01, 0.01, 0.01, 0.01, 0.95, 0.01]] * 2
    spaces: tuple[FusionSpace, ...] = ("scores", "probabilities")
    for space in spaces:
        table = submission_table([hidden("rgb", ALONE), hidden("of", kick)], replace(FUSION, space=space))
        assert table["action_pred_1"].tolist() == [4, 4]
        assert table["action_pred_2"].tolist() == [2, 0]
        assert table["body_pred_1"].tolist() == [3, 3]
        assert table["body_pred_2"].tolist() == [1, 0]


def test_scores_of_several_variants_or_too_few_classes_are_refused() -> None:
    run = hidden("rgb", ALONE)
    with pytest.raises(UserError, match="one variant and fold, not of baseline/fold1, 3-level/fold1"):
        submission_table([run, replace(run, run=replace(run.run, method="baseline"))], FUSION)
    with pytest.raises(UserError, match="of 5 classes are given, here are 6 classes with 0 coarser ones"):
        submission_table([replace(run, coarse=())], FUSION)


def test_hidden_and_known_labels_do_not_mix_on_the_command_line(tmp_path: Path) -> None:
    files = {"hidden": tmp_path / "hidden.h5", "known": tmp_path / "scores.h5"}
    write_scores(files["hidden"], hidden("rgb", ALONE), {})
    write_scores(files["known"], hidden("rgb", ALONE, label=0), {})
    output = tmp_path / "submission.csv"
    result = CliRunner().invoke(app, ["submission", str(files["hidden"]), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert [row["vid"] for row in csv.DictReader(output.open())] == ["test0.mp4", "test1.mp4"]
    result = CliRunner().invoke(app, ["submission", str(files["known"]), "-o", str(output)])
    assert "scores of clips whose labels are known; leave it out" in str(result.exception)
    result = CliRunner().invoke(app, ["confusion", str(files["hidden"]), "-o", str(tmp_path / "matrix")])
    assert "scores of clips whose labels are hidden; leave it out" in str(result.exception)


def test_importer_options_are_names_and_values() -> None:
    assert parse_options(["view=first", "complete=false"]) == {"view": "first", "complete": "false"}
    for texts in (["view"], ["view=first", "view=second"]):
        with pytest.raises(UserError, match=r"--option: 'view.*' is not of the form NAME=VALUE, or is given twice"):
            parse_options(texts)
