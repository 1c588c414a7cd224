"""The table of runs, and mistakes that would make a run's figures wrong."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stp.config import Fusion
from stp.data.index import Clip, Index
from stp.data.run_name import RunName
from stp.data.splits import make_folds
from stp.errors import UserError
from stp.evaluation import table1 as tables
from stp.evaluation.fused import predict
from stp.evaluation.scores import Scores, write_scores
from stp.training.checkpoints import Checkpoints, Summary, read_summary
from stp.training.log import Row, write_log
from stp.training.model_file import TrainedOn, read_model
from stp.training.status import RunStatus, run_statuses, run_table
from tests.damage import flipped, outcome
from tests.runs import make_run, read_run, untrained

NOW = 1_000_000.0


def row(epoch: int, loss: str, accuracy: str, seconds: str) -> Row:
    return [str(epoch), loss, accuracy, "0.01", seconds, "100.0", accuracy, "0"]


def dated(path: Path, when: float) -> None:
    os.utime(path, (when, when))


def finished(results: Path, name: str, epochs: int, when: float = NOW) -> None:
    folder = results / "runs" / name
    write_log(folder / "log.csv", [row(i + 1, "0.50000", "0.7500", "60") for i in range(epochs)])
    (folder / "model.pt").write_bytes(b"")
    dated(folder / "model.pt", when)


def under_way(results: Path, name: str, when: float, key: str = "0", minutes: float = 5, stopped: bool = False) -> Path:
    """A training that has done 2 of 10 epochs of 90 seconds on average."""
    folder = results / "state" / name
    write_log(folder / f"{key}.csv", [row(1, "0.9", "0.5", "60"), row(2, "0.8", "0.6", "120")])
    summary = {"run": name, "epochs": 10, "checkpoint_minutes": minutes, "stopped": stopped}
    (folder / f"{key}.json").write_text(json.dumps(summary))
    (folder / f"{key}.pt").write_bytes(b"")
    for path in folder.glob(f"{key}.*"):
        dated(path, when)
    return folder


def test_runs_are_listed_with_status_epoch_and_time_left(tmp_path: Path) -> None:
    finished(tmp_path, "rgb/10-level/fold1/seed0", 3)
    finished(tmp_path, "rgb/2-level/fold1/seed0", 3)
    under_way(tmp_path, "of/baseline/fold1/seed0", NOW - 30)
    under_way(tmp_path, "of/baseline/fold1/seed10", NOW - 601)
    under_way(tmp_path, "of/baseline/fold10/seed0", NOW - 30, stopped=True)
    (tmp_path / "runs/wof/3-level/fold1/seed0").mkdir(parents=True)
    table = run_table(run_statuses(tmp_path, NOW), tmp_path).splitlines()
    assert [line.split() for line in table] == [
        ["run", "status", "epoch", "loss", "train", "acc.", "test", "acc.", "minutes", "left", "flag"],
        ["rgb/2-level/fold1/seed0", "done", "3", "of", "3", "0.50000", "0.7500"],
        ["rgb/10-level/fold1/seed0", "done", "3", "of", "3", "0.50000", "0.7500"],
        ["of/baseline/fold1/seed0", "training", "2", "of", "10", "0.8", "0.6", "12.0"],
        ["of/baseline/fold1/seed10", "interrupted", "2", "of", "10", "0.8", "0.6", "12.0"],
        ["of/baseline/fold10/seed0", "interrupted", "2", "of", "10", "0.8", "0.6", "12.0"],
        ["wof/3-level/fold1/seed0", "none"],
    ]


def test_runs_say_how_their_test_clips_fared_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    labels = np.arange(40) % 4
    for fold, (predicted, loss) in enumerate(
        ((labels, "ok"), (np.zeros(40, int), "ok"), (labels, "rises"), (labels, "falls")), start=1
    ):
        run = RunName("of", "baseline", fold)
        values = {"ok": [2, 1, 0.5, 0.5, 0.5, 0.5], "rises": [2, 1, 0.5, 1, 2, 3], "falls": [2, 1.8, 1.6, 1.4, 1.2, 1]}
        folder = tmp_path / "runs" / str(run)
        write_log(folder / "log.csv", [row(i + 1, f"{value:.5f}", "0.5", "6") for i, value in enumerate(values[loss])])
        (folder / "model.pt").write_bytes(b"")
        scores = np.eye(4, dtype=np.float32)[predicted][:, None]
        classes, clips = ("a", "b", "c", "d"), tuple(map(str, range(40)))
        write_scores(folder / "scores.h5", Scores(run, classes, clips, labels, scores), {})
    rows = [line.split() for line in run_table(run_statuses(tmp_path, NOW), tmp_path).splitlines()[1:]]
    assert [line[7:] for line in rows] == [
        ["1.0000"],
        ["0.2500", "at", "chance"],
        ["1.0000", "diverged"],
        ["1.0000", "still", "falling"],
    ]


def status(results: Path) -> RunStatus:
    (found,) = run_statuses(results, NOW)
    return found


def test_what_happened_last_counts(tmp_path: Path) -> None:
    finished(tmp_path, "of/3-level/fold1/seed0", 3, NOW - 100)
    assert status(tmp_path).status == "done"
    under_way(tmp_path, "of/3-level/fold1/seed0", NOW - 200, key="a")  # of other settings, left behind
    assert status(tmp_path).status == "done"
    folder = under_way(tmp_path, "of/3-level/fold1/seed0", NOW - 50, key="b")
    assert status(tmp_path).status == "training"
    (folder / "b.csv").write_text((folder / "b.csv").read_text() + "3,0.7")  # a row that is being written
    assert len(status(tmp_path).rows) == 2
    (folder / "b.csv").unlink()  # before the first epoch
    assert status(tmp_path).cells() == ["of/3-level/fold1/seed0", "training", "0 of 10", *[""] * 5]


def test_a_training_that_ends_while_it_is_looked_at_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path, "of/3-level/fold1/seed0", 3, NOW)
    under_way(tmp_path, "of/3-level/fold1/seed0", NOW - 1)

    def gone(*_: object) -> None:
        raise FileNotFoundError("a.json")

    monkeypatch.setattr("stp.training.status.read_summary", gone)
    assert status(tmp_path).status == "done"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"null", b"[1]", b"{}", b'{"run": "a", "epochs": "3", "checkpoint_minutes": 5, "stopped": false}'],
)
def test_a_damaged_summary_of_a_training_is_one_line(tmp_path: Path, content: bytes) -> None:
    folder = under_way(tmp_path, "of/3-level/fold1/seed0", NOW)
    (folder / "0.json").write_bytes(content)
    with pytest.raises(UserError, match=r"0.json: ") as error:
        run_statuses(tmp_path, NOW)
    assert "\n" not in str(error.value)


def test_every_flipped_bit_of_a_summary_is_noticed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    with checkpoints.under_way("of/3-level/fold1/seed0", 10):
        content, path = checkpoints.summary_path.read_bytes(), checkpoints.summary_path
    path.write_bytes(content)
    assert read_summary(path) == Summary("of/3-level/fold1/seed0", 10, 5.0, False)
    for bit in range(8 * len(content)):
        path.write_bytes(flipped(content, bit))
        found = outcome(read_summary, path)
        assert isinstance(found, UserError)
        assert path.name in str(found)


@pytest.mark.parametrize("kind", ["runs", "state"])
def test_a_damaged_log_is_one_line_for_the_table_of_runs(tmp_path: Path, kind: str) -> None:
    if kind == "runs":
        finished(tmp_path, "of/3-level/fold1/seed0", 3)
    else:
        under_way(tmp_path, "of/3-level/fold1/seed0", NOW)
    (path,) = (tmp_path / kind).rglob("*.csv")
    for content in (b"epoch,loss\n1,2\n", b"\xff\n", path.read_bytes().replace(b"60", b"61")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=path.name):
            run_statuses(tmp_path, NOW)


def test_a_folder_in_place_of_a_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs/of/3-level/fold1/seed0/log.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"log.csv: is a folder, not the log of a training"):
        run_statuses(tmp_path)


def test_a_state_that_is_seldom_kept_is_not_taken_for_dead(tmp_path: Path) -> None:
    under_way(tmp_path, "of/3-level/fold1/seed0", NOW - 60 * 50, minutes=30)
    assert status(tmp_path).status == "training"
    under_way(tmp_path, "of/3-level/fold1/seed0", NOW - 60 * 61, minutes=30)
    assert status(tmp_path).status == "interrupted"


def test_runs_on_the_command_line(tmp_path: Path) -> None:
    def stp(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "stp", "runs", *arguments], capture_output=True, text=True)

    result = stp(str(tmp_path))
    assert (result.returncode, result.stdout) == (0, f"no runs in {tmp_path}\n")
    under_way(tmp_path, "of/baseline/fold1/seed0", time.time())
    assert stp(str(tmp_path)).stdout.splitlines()[1].split()[:2] == ["of/baseline/fold1/seed0", "training"]
    with pytest.raises(UserError, match=r"RESULTS: folder '.*absent' does not exist"):
        run_statuses(tmp_path / "absent")


def test_model_file_knows_its_training_clips(tmp_path: Path) -> None:
    tiny = {"backbone": "convnet", "weights": "none", "input_size": 32, "width": 0.25}
    run = make_run("rgb/baseline/fold1/seed0", ("a", "b"), **tiny)
    untrained(run).save(tmp_path / "model.pt", TrainedOn(["x", "y"]))
    assert read_model(tmp_path / "model.pt").clips() == {"x", "y"}
    assert read_run(tmp_path / "model.pt").run == run


def scores(variant: str, clips: tuple[str, ...], labels: tuple[int, ...] = (0, 1), fold: int = 1) -> Scores:
    run = RunName("of", variant, fold)
    return Scores(run, ("a", "b"), clips, np.array(labels), np.eye(2, dtype=np.float32)[:, None])


def test_scores_of_another_index_or_other_folds_are_refused() -> None:
    """Also where nothing is fused, as between the columns of one stream."""
    fusion, first = Fusion(weights={"of": 1.0}), scores("baseline", ("x", "y"))
    match = (
        "scores of of/3-level/fold1/seed0 and of of/baseline/fold1/seed0 are of another index or other folds; "
        "run both again"
    )
    for other in (scores("3-level", ("x", "z")), scores("3-level", ("y", "x")), scores("3-level", ("x", "y"), (1, 0))):
        with pytest.raises(UserError, match=match):
            predict([first, other], fusion)
    good = [first, scores("3-level", ("x", "y"))]
    good += [scores(name, ("u", "v"), fold=2) for name in ("baseline", "3-level")]
    assert len(tables.fold_accuracies(predict(good, fusion))) == 4
    with pytest.raises(UserError, match="are of other classes"):
        predict([first, replace(scores("3-level", ("x", "y")), classes=("a", "c"))], fusion)


def index(*clips: tuple[str, str]) -> Index:
    """Clips of a class and an official split."""
    return Index(tuple(Clip(f"{label}/{i}", "", label, "", split) for i, (label, split) in enumerate(clips)))


def test_official_fold_without_a_class_is_named() -> None:
    whole = [("a", "train"), ("a", "test"), ("b", "train"), ("b", "test")]
    assert make_folds(index(*whole), "official", 1, 0) == [["train", "test", "train", "test"]]
    with pytest.raises(UserError, match="splits: fold 1 has no test clip of 'b': fix the official splits"):
        make_folds(index(*whole[:3], ("b", "unused")), "official", 1, 0)
    with pytest.raises(UserError, match="splits: fold 1 has no train clip of 'b': fix the official splits"):
        make_folds(index(*whole[:2], ("b", "test"), ("b", "test")), "official", 1, 0)


def test_a_single_drawn_fold_is_refused() -> None:
    with pytest.raises(UserError, match=r"splits.folds: 1 with splits.scheme 'random', which needs 2 or more"):
        make_folds(index(("a", ""), ("a", "")), "random", 1, 0)
