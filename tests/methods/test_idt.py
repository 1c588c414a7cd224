"""Improved trajectories with Fisher vectors and bags of words: what is learnt is learnt from training clips alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.encoding.descriptors import COLUMNS
from stp.errors import UserError
from stp.methods import Task, idt
from stp.methods.idt import FisherEncoder, IdtOptions, WordsEncoder
from stp.methods.shallow import ShallowRecogniser, StoredClips
from stp.system.devices import Compute
from stp.training.session import Session
from tests.drawn_trajectories import stored_clips, trajectories

CPU = Compute(torch.device("cpu"))
CLASSES = ("nod", "shrug", "wave")
TRAINING = [Clip(f"{CLASSES[i % 3]}/{i}", "", CLASSES[i % 3]) for i in range(15)]
TESTED = [Clip(f"{CLASSES[i % 3]}/test{i}", "", CLASSES[i % 3]) for i in range(9)]
FISHER: dict[str, Any] = {"gaussians": 4, "sample": 1000}
WORDS: dict[str, Any] = {"encoding": "bag_of_words", "words": 20, "sample": 1000}
both_encodings = pytest.mark.parametrize("options", [FISHER, WORDS], ids=["fisher", "bag_of_words"])


def fitted(options: dict[str, Any], fields: ClipFields, folder: Path, seed: int = 0) -> ShallowRecogniser:
    run = idt.METHOD.run(RunName("idt", "idt", 1, seed), "idt", CLASSES, options)
    idt.METHOD.check(run)
    recogniser = idt.METHOD.fit(Task(run, TRAINING, {"idt": fields}, CPU, Session(folder / "log.csv")))
    assert isinstance(recogniser, ShallowRecogniser)
    return recogniser


@both_encodings
def test_classes_of_unseen_clips_are_recognised(options: dict[str, Any], tmp_path: Path) -> None:
    fields = stored_clips(tmp_path / "idt.h5", TRAINING + TESTED, CLASSES)
    scores = fitted(options, fields, tmp_path).scores([clip.clip for clip in TESTED], {"idt": fields}, Views(), CPU)
    assert scores.dtype == np.float32
    assert scores.shape == (9, 1, 3)
    assert [CLASSES[number] for number in scores[:, 0].argmax(1)] == [clip.label for clip in TESTED]


class RecordingFields(ClipFields):
    """Stored fields that remember which clips were asked for."""

    asked: set[str]

    def __getitem__(self, clip: str) -> Any:
        self.asked.add(clip)
        return super().__getitem__(clip)


@both_encodings
def test_nothing_is_learnt_from_clips_of_the_test(options: dict[str, Any], tmp_path: Path) -> None:
    states = []
    for word, poison in (("healthy", None), ("huge", 6e4), ("damaged", np.nan)):
        rng = np.random.default_rng(0)
        with write_shard(tmp_path / f"{word}.h5", "idt", {}) as shard:
            for clip in TRAINING:
                shard.store(clip.clip, trajectories(rng, 40, CLASSES.index(clip.label)))
            for clip in TESTED:
                values = trajectories(rng, 40, CLASSES.index(clip.label))
                shard.store(clip.clip, values if poison is None else np.full_like(values, poison))
        fields = RecordingFields([tmp_path / f"{word}.h5"])
        fields.asked = set()
        states.append(fitted(options, fields, tmp_path).state())
        assert fields.asked == {clip.clip for clip in TRAINING}
    for state in states[1:]:
        assert all(torch.equal(value, state[name]) for name, value in states[0].items())


@both_encodings
def test_clips_without_a_trajectory_have_a_vector_of_zeros(options: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with write_shard(tmp_path / "idt.h5", "idt", {}) as shard:
        for clip in TRAINING:
            empty = clip.clip in ("nod/0", "wave/14")
            shard.store(clip.clip, trajectories(rng, 0 if empty else 60, CLASSES.index(clip.label)))
    fields = ClipFields([tmp_path / "idt.h5"])
    recogniser = fitted(options, fields, tmp_path)
    vectors = recogniser.vectors(["nod/0", "shrug/1"], {"idt": fields})
    assert vectors.dtype == np.float32
    assert not vectors[0].any()
    assert vectors[1].any()
    assert np.isfinite(recogniser.scores(["nod/0"], {"idt": fields}, Views(), CPU)).all()


def test_each_type_of_descriptor_has_half_of_its_dimension_and_length_1(tmp_path: Path) -> None:
    fields = stored_clips(tmp_path / "idt.h5", TRAINING, CLASSES)
    encoder = FisherEncoder(IdtOptions(**FISHER))
    vectors = encoder.fit(StoredClips(fields, tuple(clip.clip for clip in TRAINING), "idt"), np.zeros(15), 0)
    assert vectors.shape == (15, 2 * 4 * (15 + 48 + 54 + 48 + 48))
    assert vectors.shape[1] / 4 * 256 == 109_056  # as published, with 256 Gaussians
    for part in np.split(vectors, np.cumsum([8 * d for d in (15, 48, 54, 48)]), axis=1):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-5)


def test_each_type_of_descriptor_has_its_histogram(tmp_path: Path) -> None:
    fields = stored_clips(tmp_path / "idt.h5", TRAINING, CLASSES)
    encoder = WordsEncoder(IdtOptions(**WORDS))
    vectors = encoder.fit(StoredClips(fields, tuple(clip.clip for clip in TRAINING), "idt"), np.zeros(15), 0)
    np.testing.assert_allclose(vectors.reshape(15, 5, 20).sum(2), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gaussians": 200}, "option gaussians needs 200; lower it"),
        ({"gaussians": 8}, r"option gaussians needs 54"),
        (WORDS | {"words": 4000}, "option words needs 4000; lower it"),
    ],
)
def test_too_few_trajectories_are_one_line(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    fields = stored_clips(tmp_path / "idt.h5", TRAINING, CLASSES, number=3)
    with pytest.raises(UserError, match=rf"methods.idt: the training clips have 45 trajectories, but {words}"):
        fitted(options, fields, tmp_path)


def test_other_features_and_inputs_are_one_line(tmp_path: Path) -> None:
    with write_shard(tmp_path / "idt.h5", "idt", {}) as shard:
        for clip in TRAINING:
            shard.store(clip.clip, np.ones((9, COLUMNS - 1), np.float16))
    with pytest.raises(UserError, match=r"must be \(trajectories, 430\), but is \(9, 429\)"):
        fitted(FISHER, ClipFields([tmp_path / "idt.h5"]), tmp_path)
    run = idt.METHOD.run(RunName("of", "idt", 1), "idt", CLASSES, {})
    with pytest.raises(UserError, match=r"methods.idt.inputs: 'of' .*; allowed is idt"):
        idt.METHOD.check(run)
