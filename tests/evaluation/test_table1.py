"""Scores, fusion, class accuracy and tables, by examples worked out by hand."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from stp.cli.app import app
from stp.config import Fusion
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation import table1 as tables
from stp.evaluation.fused import predict
from stp.evaluation.markdown import table1_notes
from stp.evaluation.metrics import summarise
from stp.evaluation.scores import Scores, fuse, read_scores, write_scores
from tests.damage import flipped, outcome

CLASSES = ("nod", "wave")
FUSION = Fusion()


def scores(
    modality: str,
    values: Sequence[Sequence[float]],
    fold: int = 1,
    labels: tuple[int, ...] = (0, 0, 0, 1),
    seed: int = 0,
) -> Scores:
    """Scores of one segment a clip."""
    array = np.array(values, dtype=np.float32)[:, None]
    clips = tuple(f"{fold}-{i}" for i in range(len(array)))
    return Scores(RunName(modality, "3-level", fold, seed), CLASSES, clips, np.array(labels), array)


def renamed(run: Scores, method: str) -> Scores:
    """The same scores by another method."""
    return replace(run, run=replace(run.run, method=method))


RGB = [[1, 0], [0, 1], [1, 0], [1, 0]]  # predicts 0 1 0 0: classes 2/3 and 0/1, clips 2/4
OF = [[0, 1], [3, 0], [1, 0], [0, 1]]  # predicts 1 0 0 1: classes 2/3 and 1/1, clips 3/4


def test_fusion_is_the_weighted_average_of_scores() -> None:
    fused = fuse([scores("rgb", RGB), scores("of", OF)], FUSION)
    assert np.allclose(fused[0], [(1 * 1 + 1.5 * 0) / 2.5, (1 * 0 + 1.5 * 1) / 2.5])
    assert np.allclose(fused[1], [1.5 * 3 / 2.5, 1 / 2.5])


def test_fusion_of_probabilities_can_decide_otherwise() -> None:
    strong, weak = scores("rgb", [[9, 0]], labels=(0,)), scores("of", [[0, 2]], labels=(0,))
    assert fuse([strong, weak], FUSION)[0].argmax() == 0  # 9 against 3
    chosen = fuse([strong, weak], replace(FUSION, space="probabilities"))[0]
    assert np.allclose(chosen[1], (1 / (1 + np.exp(9)) + 1.5 / (1 + np.exp(-2))) / 2.5)
    assert chosen.argmax() == 1


def test_segments_are_averaged() -> None:
    values = np.array([[[1, 0], [3, 2]]], dtype=np.float32)
    run = Scores(RunName("rgb", "3-level", 1), CLASSES, ("a",), np.array([0]), values)
    assert run.video_scores().tolist() == [[2, 1]]


def test_streams_of_other_folds_or_clips_are_refused() -> None:
    with pytest.raises(UserError, match="other clips, classes, folds or seeds"):
        fuse([scores("rgb", RGB), scores("of", OF, fold=2)], FUSION)


def test_accuracies_by_hand() -> None:
    folds = tables.fold_accuracies(predict([scores("rgb", RGB), scores("of", OF)], FUSION))
    rows = folds.set_index("input")
    assert list(rows.loc["RGB", ["clips", "class_accuracy", "accuracy"]]) == pytest.approx([4, 100 / 3, 50])
    assert rows.loc["OF", "class_accuracy"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    # Fused: (.4, .6) (1.8, .4) (1, 0) (.4, .6) predict 1 0 0 1
    assert rows.loc["RGB+OF", "class_accuracy"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert list(folds["input"]) == ["RGB", "OF", "RGB+OF"]


@pytest.mark.filterwarnings("error")
def test_class_that_a_fold_does_not_test_counts_neither_for_nor_against_it() -> None:
    run = scores("of", OF[:3], labels=(0, 0, 0))
    assert tables.fold_accuracies(predict([run], FUSION))["class_accuracy"].tolist() == pytest.approx([200 / 3])


def test_summary_is_mean_and_sample_deviation_over_folds() -> None:
    runs = [scores("rgb", RGB), scores("rgb", OF, fold=2)]
    summary = summarise(tables.fold_accuracies(predict(runs, FUSION))).iloc[0]
    first, second = 100 / 3, 100 * 5 / 6
    assert summary["class_accuracy"] == pytest.approx((first + second) / 2)
    assert summary["class_accuracy_std"] == pytest.approx(abs(first - second) / np.sqrt(2))
    assert summary["clips"] == 8
    assert np.isnan(summary["class_accuracy_seed_std"])


def test_seeds_are_averaged_within_folds_and_have_a_deviation_of_their_own() -> None:
    figures = {(1, 0): RGB, (1, 5): OF, (2, 0): RGB, (2, 5): RGB}  # class accuracies 100/3, 500/6, 100/3, 100/3
    runs = [scores("rgb", values, fold, seed=seed) for (fold, seed), values in figures.items()]
    folds = tables.fold_accuracies(predict(runs, FUSION))
    summary = summarise(folds).iloc[0]
    low, high = 100 / 3, 500 / 6
    assert summary["class_accuracy"] == pytest.approx((3 * low + high) / 4)
    assert summary["class_accuracy_std"] == pytest.approx(np.std([(low + high) / 2, low], ddof=1))
    assert summary["class_accuracy_seed_std"] == pytest.approx(np.std([low, (high + low) / 2], ddof=1))
    assert summary["clips"] == 8  # a clip counts once, however many seeds
    long = tables.long_table(folds)
    assert list(zip(long["fold"], long["seed"], strict=True)) == [
        *[("1", "0"), ("1", "5"), ("2", "0"), ("2", "5"), ("mean", "mean")]
    ]
    assert "Trained from seeds 0, 5; the figure of a fold is its mean over them." in table1_notes(runs, FUSION, [])
    matrices = tables.fold_confusions(runs, FUSION)
    assert {fold: matrix.sum() for fold, matrix in matrices.items()} == {1: 8, 2: 8}
    assert matrices[1].tolist() == [[2 + 2, 1 + 1], [1 + 0, 0 + 1]]


def test_a_seed_that_lacks_a_fold_is_refused() -> None:
    runs = [scores("rgb", RGB), scores("rgb", RGB, fold=2), scores("rgb", RGB, seed=1)]
    with pytest.raises(UserError, match=r"scores of rgb/3-level/fold2/seed1 are missing: give those of every fold and"):
        predict(runs, FUSION)


def test_table1_has_the_papers_layout() -> None:
    rows = [
        (name, variant, fold, 0, 10, 50.0 + fold + 10 * i, 50.0)
        for name in ("RGB", "OF", "RGB+OF")
        for i, variant in enumerate(("baseline", "3-level"))
        for fold in (1, 2, 3)
    ]
    folds = pd.DataFrame(rows, columns=["input", "variant", "fold", "seed", "clips", "class_accuracy", "accuracy"])
    table = tables.table1(summarise(folds))
    assert list(table.columns) == ["Input Modality", "Baseline", "3-Level"]
    assert table.values.tolist() == [["RGB", 52, 62], ["OF", 52, 62], ["RGB+OF", 52, 62]]
    long = tables.long_table(folds)
    assert list(long["fold"][:4]) == ["1", "2", "3", "mean"]
    assert long["class_accuracy_std"][3] == 1
    text = tables.table1_text(summarise(folds), ["a note"])
    assert "52.0 ± 1.0" in text
    assert "- a note" in text


def test_figures_for_reading_are_rounded_once() -> None:
    row = {"input": "RGB", "variant": "baseline", "class_accuracy": 64.947, "class_accuracy_std": 3.749}
    summary = pd.DataFrame([row])
    assert tables.table1(summary)["Baseline"][0] == 64.95
    assert "64.9 ± 3.7" in tables.table1_text(summary, [])


def test_confusion_counts_true_rows() -> None:
    matrices = tables.fold_confusions([scores("rgb", RGB)], FUSION)
    assert matrices[1].tolist() == [[2, 1], [1, 0]]


def test_scores_survive_writing(tmp_path: Path) -> None:
    run = replace(scores("of", OF, seed=3), coarse=("head", "hand"))
    write_scores(tmp_path / "scores.h5", run, {"segments": 1})
    again = read_scores(tmp_path / "scores.h5")
    assert (again.run, again.clips, again.classes, again.coarse) == (run.run, run.clips, run.classes, run.coarse)
    assert np.array_equal(again.values, run.values)
    assert again.values.dtype == np.float32
    assert np.array_equal(again.labels, run.labels)
    assert again.run.seed == 3


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.h5").write_text("nothing")
    with pytest.raises(UserError, match="not a scores file"):
        read_scores(tmp_path / "scores.h5")


def test_every_flipped_bit_of_a_scores_file_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path, run = tmp_path / "scores.h5", replace(scores("of", OF), coarse=("head", "hand"))
    write_scores(path, run, {"segments": 1})
    content = path.read_bytes()
    used = 0
    bits = np.random.default_rng(0).choice(8 * len(content), 600, replace=False)
    for bit in [*bits.tolist(), *range(8 * content.index(b"1-0"), 8 * content.index(b"1-0") + 24)]:
        path.write_bytes(flipped(content, bit))
        again = outcome(read_scores, path)
        if isinstance(again, UserError):
            assert "scores.h5: not a scores file, or damaged (" in str(again)
            continue
        used += 1
        assert (again.run, again.clips, again.classes, again.coarse) == (run.run, run.clips, run.classes, run.coarse)
        assert np.array_equal(again.values, run.values)
        assert np.array_equal(again.labels, run.labels)
    assert used < 400  # most of such a small file is padding


def test_a_scores_file_of_before_there_was_a_digest_can_be_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.h5", scores("of", OF), {"segments": 1})
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        del file.attrs["digest"], file.attrs["coarse"]
    assert np.array_equal(read_scores(tmp_path / "scores.h5").values[:, 0], OF)


@pytest.mark.parametrize("name", ["scores", "labels", "clips"])
def test_a_changed_value_of_a_scores_file_is_noticed(tmp_path: Path, name: str) -> None:
    write_scores(tmp_path / "scores.h5", scores("of", OF), {"segments": 1})
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        file[name][0] = {"scores": 0.5, "labels": 1, "clips": "1-9"}[name]
    with pytest.raises(UserError, match=r"damaged \(its content does not agree with its digest\); score the run again"):
        read_scores(tmp_path / "scores.h5")


FOREIGN = {
    "labels that are not one of the 2 classes": {"labels": np.array([0, 0, 0, 2])},
    "'labels' holds int32, not int64": {"labels": np.zeros(4, np.int32)},
    "'scores' holds float64, not float32": {"scores": np.zeros((4, 1, 2))},
    "scores of .4, 1, 3. for 4 clips and 2 classes": {"scores": np.zeros((4, 1, 3), np.float32)},
    "scores of clip '1-0' that are NaN or infinite": {"scores": np.full((4, 1, 2), np.nan, np.float32)},
    "the clips are not distinct ids": {"clips": np.array(["a", "b", "c", "a"], h5py.string_dtype())},
}


@pytest.mark.parametrize("reason", FOREIGN)
def test_scores_of_a_wrong_kind_are_refused(tmp_path: Path, reason: str) -> None:
    write_scores(tmp_path / "scores.h5", scores("of", OF), {})
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        del file.attrs["digest"]
        for name, array in FOREIGN[reason].items():
            del file[name]
            file[name] = array
    with pytest.raises(UserError, match=f"scores.h5: not a scores file, or damaged .{reason}"):
        read_scores(tmp_path / "scores.h5")


def test_scores_behind_a_link_are_refused(tmp_path: Path) -> None:
    for name in ("scores.h5", "other.h5"):
        write_scores(tmp_path / name, scores("of", OF), {})
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        del file["scores"]
        file["scores"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "scores")
    with pytest.raises(UserError, match="'scores' is not an array of this file"):
        read_scores(tmp_path / "scores.h5")


def test_scores_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of/3-level/fold1/seed0: scores of clip '1-1' that are NaN or infinite"):
        write_scores(tmp_path / "scores.h5", scores("of", [[0, 1], [0, np.inf], [1, 0], [1, 0]]), {})
    assert not any(tmp_path.iterdir())


def test_runs_that_are_missing_are_named() -> None:
    runs = [scores(name, RGB, fold) for name in ("rgb", "of") for fold in (1, 2)]
    assert len(tables.fold_accuracies(predict(runs, FUSION))) == 6
    for lacking, name in ((2, "of/3-level/fold1/seed0"), (1, "rgb/3-level/fold2/seed0")):
        rest = [run for number, run in enumerate(runs) if number != lacking]
        for table in (predict, tables.fold_confusions):
            with pytest.raises(UserError, match=f"scores of {name} are missing: give those of every fold and seed"):
                table(rest, FUSION)
    others = [renamed(scores("rgb", RGB, fold, seed=7), "other") for fold in (1, 2)]  # other inputs and seeds
    assert len(tables.fold_accuracies(predict([*runs, *others], FUSION))) == 8
    with pytest.raises(UserError, match="scores of rgb/other/fold2/seed7 are missing"):
        predict([*runs, others[0]], FUSION)


def test_a_clip_with_two_labels_is_refused() -> None:
    other = replace(scores("rgb", RGB, fold=2, labels=(1, 0, 0, 1)), clips=("1-0", "1-1", "1-2", "1-3"))
    with pytest.raises(UserError, match="clip '1-0' has other labels in scores of rgb/3-level/fold2/seed0 and of rgb"):
        predict([scores("rgb", RGB), other], FUSION)


def test_notes_name_skipped_clips_folds_and_the_choice_of_level_4() -> None:
    runs = [scores("rgb", RGB), scores("rgb", OF, fold=2)]
    notes = "\n".join(table1_notes(runs, FUSION, ["nod/bad (no frame can be decoded)"]))
    assert "2 folds of 4, 4 test clips" in notes
    assert "Left out because they do not decode: nod/bad (no frame can be decoded)." in notes
    assert "RGB 1, OF 1.5, WOF 1" in notes
    assert "Level" not in notes


@pytest.mark.parametrize(
    ("method", "parts"),
    [("baseline", 0), ("3-level", 0), ("aligned-3-level", 0), ("4-level", 8), ("aligned-4-level", 8), ("5-level", 16)],
)
def test_a_note_names_levels_with_more_parts_than_the_papers_sub_segments(method: str, parts: int) -> None:
    notes = "\n".join(table1_notes([renamed(scores("rgb", RGB), method)], FUSION, []))
    assert re.findall(r"Level \d needs (\d+) parts", notes) == [str(parts)] * bool(parts)


def test_rows_and_columns_do_not_depend_on_the_order_of_files() -> None:
    runs = [
        renamed(scores(modality, values, fold), variant)
        for variant in ("3-level", "baseline")
        for fold in (2, 1)
        for modality, values in (("of", OF), ("rgb", RGB))
    ]
    folds = tables.fold_accuracies(predict(runs, FUSION))
    assert folds.equals(tables.fold_accuracies(predict(runs[::-1], FUSION)))
    assert list(tables.table1(summarise(folds)).columns) == ["Input Modality", "Baseline", "3-Level"]
    assert list(folds["fold"][:4]) == [1, 2, 1, 2]


def test_a_joint_run_beside_the_fusion_of_its_inputs_is_refused() -> None:
    runs = [scores("rgb", RGB), scores("of", OF), scores("rgb+of", OF)]
    assert len(tables.fold_accuracies(predict([*runs[:1], runs[2]], FUSION))) == 2
    with pytest.raises(UserError, match=r"rgb\+of/3-level/fold1/seed0 and the fusion of its inputs would be one row"):
        predict(runs, FUSION)


def test_a_run_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="rgb/3-level/fold1/seed0 are given twice"):
        predict([scores("rgb", RGB), scores("rgb", OF)], FUSION)


def test_skipped_clips_are_named_below_the_table(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.h5", scores("rgb", RGB), {})
    (tmp_path / "skipped.csv").write_text("clip,path,reason\nnod/bad,x,no frame\n")
    outputs = [f"{option}={tmp_path / name}" for option, name in (("--output", "t"), ("--long", "l"), ("--text", "m"))]
    app(["table1", str(tmp_path / "s.h5"), f"--skipped={tmp_path / 'skipped.csv'}", *outputs], standalone_mode=False)
    assert "- Left out because they do not decode: nod/bad (no frame)." in (tmp_path / "m").read_text()
