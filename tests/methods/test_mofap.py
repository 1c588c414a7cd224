"""MoFAP: the segments of a video by hand, what a vector consists of, and that test clips teach it nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.encoding.descriptors import COLUMNS, TIME
from stp.errors import UserError
from stp.methods import Task, mofap
from stp.methods.mofap import MofapEncoder, MofapOptions, of_segments, part_of
from stp.methods.shallow import ShallowRecogniser, StoredClips
from stp.system.devices import Compute
from stp.training.session import Session
from tests.drawn_trajectories import stored_clips, trajectories

CPU = Compute(torch.device("cpu"))
CLASSES = ("nod", "shrug", "wave")
TRAINING = [Clip(f"{CLASSES[i % 3]}/{i}", "", CLASSES[i % 3]) for i in range(12)]
TESTED = [Clip(f"{CLASSES[i % 3]}/test{i}", "", CLASSES[i % 3]) for i in range(6)]
OPTIONS: dict[str, Any] = {
    **{"gaussians": 2, "sample": 1000, "parts": 4, "segment_parts": 2, "candidates": 8, "anchors": 2},
    **{"kept_phrases": 8, "class_phrases": 3},
}


def fitted(fields: ClipFields, folder: Path, **options: Any) -> ShallowRecogniser:
    run = mofap.METHOD.run(RunName("idt", "mofap", 1), "mofap", CLASSES, OPTIONS | options)
    mofap.METHOD.check(run)
    recogniser = mofap.METHOD.fit(Task(run, TRAINING, {"idt": fields}, CPU, Session(folder / "log.csv")))
    assert isinstance(recogniser, ShallowRecogniser)
    return recogniser


def encoder_of(recogniser: ShallowRecogniser) -> MofapEncoder:
    encoder = recogniser.encoders["idt"]
    assert isinstance(encoder, MofapEncoder)
    return encoder


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> ClipFields:
    return stored_clips(tmp_path_factory.mktemp("clips") / "idt.h5", TRAINING + TESTED, CLASSES)


@pytest.fixture(scope="module")
def recogniser(fields: ClipFields, tmp_path_factory: pytest.TempPathFactory) -> ShallowRecogniser:
    return fitted(fields, tmp_path_factory.mktemp("log"))


def test_parts_divide_a_video_evenly() -> None:
    times = np.array([0, 0.24, 0.25, 0.5, 0.999, 1], np.float16)
    assert part_of(times, 4).tolist() == [0, 0, 1, 2, 3, 3]


def test_a_segment_begins_at_every_part() -> None:
    assert of_segments(np.array([1, 2, 4, 8]), 3).tolist() == [7, 14]
    assert of_segments(np.array([1, 2, 4, 8]), 4).tolist() == [15]
    assert of_segments(np.array([[1, 0], [0, 1], [5, 5]]), 2).tolist() == [[1, 1], [5, 6]]


def test_a_segments_vector_is_that_of_its_own_trajectories(recogniser: ShallowRecogniser, fields: ClipFields) -> None:
    encoder, stored = encoder_of(recogniser), fields["nod/0"][:]
    whole, segments = encoder.vectors(stored)
    assert segments.shape == (3, len(whole))
    np.testing.assert_allclose(whole, encoder.fisher.vector(stored), atol=1e-6)
    for first, vector in zip((0, 0.25, 0.5), segments, strict=True):
        inside = stored[(stored[:, TIME] >= first) & (stored[:, TIME] < first + 0.5)]
        np.testing.assert_allclose(vector, encoder.fisher.vector(inside), atol=1e-6)


def test_candidates_are_segments_with_trajectories_evenly_over_a_classs_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with write_shard(tmp_path / "idt.h5", "idt", {}) as shard:
        for clip in TRAINING:
            stored = trajectories(rng, 60, CLASSES.index(clip.label))
            if clip.label == "wave":  # one segment has trajectories, of two clips alone
                stored = stored[stored[:, TIME] < 0.25] if clip.clip in ("wave/2", "wave/5") else stored[:0]
            shard.store(clip.clip, stored)
    clips = StoredClips(ClipFields([tmp_path / "idt.h5"]), tuple(clip.clip for clip in TRAINING), "mofap")
    encoder = MofapEncoder(MofapOptions(**OPTIONS))
    encoder.fisher.learn(clips, 0)
    vectors, labels = encoder.candidates(clips, np.arange(12) % 3, 0)
    assert labels.tolist() == [0, 0, 1, 1, 2, 0, 0, 1, 1, 2, 0, 0, 1, 1, 0, 0, 1, 1]
    assert vectors.any(1).all()
    np.testing.assert_allclose(vectors[4], encoder.fisher.vector(clips[2]), atol=1e-6)


def test_a_vector_has_motion_atoms_and_phrases_each_of_length_1(
    recogniser: ShallowRecogniser, fields: ClipFields
) -> None:
    encoder = encoder_of(recogniser)
    vector = recogniser.vectors(["nod/test0"], {"idt": fields})[0]
    whole, activations = encoder.seen(fields["nod/test0"][:])
    atoms = len(encoder.atoms.classes)
    sizes = [len(phrases) for phrases in encoder.phrases]
    assert set(encoder.atoms.classes.tolist()) == {0, 1, 2}
    assert len(sizes) == 4
    assert all(0 < size <= 3 * 3 for size in sizes[:2])
    ends = np.cumsum([len(whole), atoms, *sizes])
    assert len(vector) == ends[-1]
    for block in np.split(vector, ends[:-1]):
        if len(block):
            np.testing.assert_allclose(np.linalg.norm(block), 1, rtol=1e-5)
    np.testing.assert_allclose(vector[: len(whole)], whole / np.linalg.norm(whole), rtol=1e-5)
    largest = activations.max(0)
    np.testing.assert_allclose(vector[ends[0] : ends[1]], largest / np.linalg.norm(largest), rtol=1e-5)


def test_atoms_and_phrases_of_unseen_clips_tell_the_class(recogniser: ShallowRecogniser, fields: ClipFields) -> None:
    scores = recogniser.scores([clip.clip for clip in TESTED], {"idt": fields}, Views(), CPU)
    assert [CLASSES[number] for number in scores[:, 0].argmax(1)] == [clip.label for clip in TESTED]
    encoder = encoder_of(recogniser)
    for clip in TESTED:
        _, activations = encoder.seen(fields[clip.clip][:])
        of_class = [activations.max(0)[encoder.atoms.classes == label].max() for label in range(3)]
        assert CLASSES[int(np.argmax(of_class))] == clip.label


def test_segments_and_clips_without_trajectories_activate_nothing(
    recogniser: ShallowRecogniser, fields: ClipFields
) -> None:
    encoder, stored = encoder_of(recogniser), fields["nod/0"][:]
    _, activations = encoder.seen(stored[stored[:, TIME] < 0.25])
    assert activations[0].all()
    assert not activations[1:].any()
    nothing = encoder.vector(np.zeros((0, COLUMNS), np.float16))
    assert nothing.shape == encoder.vector(stored).shape
    assert not nothing.any()


@pytest.mark.parametrize("poison", [6e4, np.nan])
def test_nothing_is_learnt_from_clips_of_the_test(
    poison: float, recogniser: ShallowRecogniser, fields: ClipFields, tmp_path: Path
) -> None:
    with write_shard(tmp_path / "idt.h5", "idt", {}) as shard:
        for clip in TRAINING:
            shard.store(clip.clip, fields[clip.clip][:])
        for clip in TESTED:
            shard.store(clip.clip, np.full((60, COLUMNS), poison, np.float16))
    poisoned = fitted(ClipFields([tmp_path / "idt.h5"]), tmp_path).state()
    state = recogniser.state()
    assert {"encoder.idt.atoms.weights", "encoder.idt.phrases.1", "encoder.idt.hog.means"} <= set(state)
    assert poisoned.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in poisoned.items())


def test_options_that_contradict_each_other_are_one_line() -> None:
    with pytest.raises(UserError, match=r"option segment_parts: 17 is not allowed; allowed: 1 to 16"):
        MofapOptions(segment_parts=17)
    run = mofap.METHOD.run(RunName("rgb", "mofap", 1), "mofap", CLASSES, {})
    with pytest.raises(UserError, match=r"methods.mofap.inputs: 'rgb' .*; allowed is idt"):
        mofap.METHOD.check(run)
