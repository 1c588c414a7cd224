"""MPOV: two views of one action in one linear SVM, or each view alone."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stp import methods
from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.encoding.pooled_series import pooled_series
from stp.errors import UserError
from stp.methods import Task, mpov
from stp.methods.shallow import ShallowRecogniser
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn
from stp.training.session import Session
from tests.drawn_trajectories import trajectories

CPU = Compute(torch.device("cpu"))
CLASSES = ("nod", "shrug", "wave")
TRAINING = [Clip(f"{CLASSES[i % 3]}/{i}", "", CLASSES[i % 3]) for i in range(15)]
TESTED = [Clip(f"{CLASSES[i % 3]}/test{i}", "", CLASSES[i % 3]) for i in range(9)]
OPTIONS: dict[str, Any] = {"gaussians": 4, "sample": 1000}
BOTH = "idt+displacement"


def displacement(rng: np.random.Generator, label: int) -> np.ndarray:
    """Series (20, 100) of a head that sways, in a direction of its class."""
    sway = 0.05 * np.sin(np.arange(20) / 3 + rng.uniform(0, 0.5))
    series = rng.normal(0, 0.002, (20, 100))
    series[:, 30 * label : 30 * label + 30] += sway[:, None]
    return series.astype(np.float32)


def seen(
    folder: Path, second: tuple[int, ...] = (0, 1, 2), first: tuple[int, ...] = (0, 1, 2)
) -> dict[str, ClipFields]:
    """Both views of all clips; class k of CLASSES looks like class `second[k]` or `first[k]` in them."""
    rng = np.random.default_rng(0)
    with write_shard(folder / "idt.h5", "idt", {}) as shard:
        for clip in TRAINING + TESTED:
            shard.store(clip.clip, trajectories(rng, 150, second[CLASSES.index(clip.label)]))
    with write_shard(folder / "displacement.h5", "displacement", {}) as shard:
        for clip in TRAINING + TESTED:
            shard.store(clip.clip, displacement(rng, first[CLASSES.index(clip.label)]))
    return {name: ClipFields([folder / f"{name}.h5"]) for name in ("idt", "displacement")}


def fitted(fields: dict[str, ClipFields], run_input: str, folder: Path, **options: Any) -> ShallowRecogniser:
    run = mpov.METHOD.run(RunName(run_input, "mpov", 1), "mpov", CLASSES, OPTIONS | options)
    mpov.METHOD.check(run)
    views = {name: fields[name] for name in run_input.split("+")}
    recogniser = mpov.METHOD.fit(Task(run, TRAINING, views, CPU, Session(folder / "log.csv")))
    assert isinstance(recogniser, ShallowRecogniser)
    return recogniser


def recognised(recogniser: ShallowRecogniser, fields: dict[str, ClipFields]) -> list[str]:
    scores = recogniser.scores([clip.clip for clip in TESTED], fields, Views(), CPU)
    assert (scores.dtype, scores.shape) == (np.float32, (9, 1, 3))
    return [CLASSES[number] for number in scores[:, 0].argmax(1)]


LABELS = [clip.label for clip in TESTED]


@pytest.mark.parametrize("run_input", [BOTH, "idt", "displacement"])
def test_classes_are_recognised_from_both_views_and_from_each_alone(run_input: str, tmp_path: Path) -> None:
    fields = seen(tmp_path)
    assert recognised(fitted(fields, run_input, tmp_path), fields) == LABELS


def test_two_views_tell_classes_apart_that_neither_does_alone(tmp_path: Path) -> None:
    fields = seen(tmp_path, second=(0, 0, 1), first=(0, 1, 1))  # a nod and a shrug look alike, and a shrug and a wave
    assert recognised(fitted(fields, BOTH, tmp_path), fields) == LABELS
    for view in ("idt", "displacement"):
        assert recognised(fitted(fields, view, tmp_path), fields) != LABELS


def test_each_view_has_length_one_and_its_own_part_of_the_vector(tmp_path: Path) -> None:
    fields = seen(tmp_path)
    (vector,) = fitted(fields, BOTH, tmp_path).vectors(["nod/0"], fields)
    second, first = np.split(vector, [2 * 4 * (15 + 48 + 54 + 48 + 48)])
    assert first.shape == (15 * 100 * 4,)  # windows, series, sum and max and two counts
    assert np.linalg.norm(second) == pytest.approx(1, rel=1e-5)
    expected = pooled_series(fields["displacement"]["nod/0"][:], ("sum", "max", "counts"))
    np.testing.assert_allclose(first, expected / np.sqrt(3), rtol=1e-4, atol=1e-6)
    (other,) = fitted(fields, "displacement", tmp_path, operators=["changes"]).vectors(["nod/0"], fields)
    assert other.shape == (15 * 100 * 2,)


def test_the_view_that_tells_classes_apart_is_the_important_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        fitted(seen(tmp_path, second=(0, 0, 0)), BOTH, tmp_path)
    said = re.findall(r"importance of view (\w+), the length of its weights: mean ([\d.]+); nod [\d.]+, ", caplog.text)
    assert [view for view, _ in said] == ["idt", "displacement"]
    assert float(said[1][1]) > 1.5 * float(said[0][1])


def test_a_trained_run_scores_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    fields = seen(tmp_path)
    recogniser, names = fitted(fields, BOTH, tmp_path), [clip.clip for clip in TESTED]
    recogniser.save(tmp_path / "model.pt", TrainedOn([clip.clip for clip in TRAINING], {name: {} for name in fields}))
    again, _ = methods.load(tmp_path / "model.pt")
    before = recogniser.scores(names, fields, Views(), CPU)
    np.testing.assert_array_equal(again.scores(names, fields, Views(), CPU), before)


def test_clips_of_the_test_are_not_read_in_training(tmp_path: Path) -> None:
    states = []
    for poison in (0.0, 1e4):
        fields = seen(tmp_path)
        with write_shard(tmp_path / "displacement.h5", "displacement", {}) as shard:
            for clip in TRAINING:
                shard.store(clip.clip, fields["displacement"][clip.clip][:])
            for clip in TESTED:
                shard.store(clip.clip, np.full((20, 100), poison, np.float32))
        fields["displacement"] = ClipFields([tmp_path / "displacement.h5"])
        states.append(fitted(fields, BOTH, tmp_path).state())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("run_input", "options", "words"),
    [
        ("rgb", {}, r"methods.mpov.inputs: 'rgb' are not views .* allowed are idt\+displacement, idt, displacement"),
        (
            BOTH,
            {"operators": []},
            r"option operators: \[\] is not allowed; name one or more of sum, max, counts, changes",
        ),
        (BOTH, {"operators": ["sum", "sum"]}, r"option operators: \['sum', 'sum'\] is not allowed"),
        (BOTH, {"operators": ["mean"]}, r"operators: \['mean'\] is not of type"),
    ],
)
def test_wrong_views_and_operators_are_one_line(run_input: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        mpov.METHOD.check(mpov.METHOD.run(RunName(run_input, "mpov", 1), "mpov", CLASSES, options))
