"""The linear SVM on frozen features: its vector by hand, and its Pipeline stored as arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.methods import Task, svm
from stp.methods.shallow import decision_values, learnt, restore
from stp.methods.svm import SvmOptions
from stp.system.devices import Compute
from stp.training.session import Session

CPU = Compute(torch.device("cpu"))


def test_a_clips_vector_is_its_mean_and_those_of_its_four_parts() -> None:
    features = np.array([[1, 0], [3, 0], [5, 2], [7, 2], [0, 4], [2, 4], [4, 6], [10, 6]], np.float32)
    assert svm.vector(SvmOptions(), features).tolist() == [4, 3, 2, 0, 6, 2, 1, 4, 7, 6]
    assert svm.vector(SvmOptions(parts=(2,)), features).tolist() == [4, 1, 4, 5]


def test_more_parts_than_images_are_refused() -> None:
    with pytest.raises(UserError, match=r"option parts has 4, but a clip has only 2 features; .*frozen.images"):
        svm.vector(SvmOptions(), np.ones((2, 3), np.float32))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_pipeline_is_restored_from_its_arrays(classes: int) -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(30, 7)), np.arange(30) % classes
    fitted = svm.classifier(SvmOptions(), 0).fit(vectors, labels)
    state = learnt(fitted)
    assert {"scaler.mean_", "scaler.scale_", "svm.coef_", "svm.intercept_", "svm.classes_"} <= set(state)
    again = restore(svm.classifier(SvmOptions(), 0), state)
    others = rng.normal(size=(9, 7))
    values = decision_values(fitted, others)
    assert values.shape == (9, classes)
    assert np.array_equal(decision_values(again, others), values)
    assert (values.argmax(1) == fitted.predict(others)).all()


def test_fields_instead_of_features_are_one_line(tmp_path: Path) -> None:
    with write_shard(tmp_path / "of.h5", "of", {}) as shard:
        for name in ("a", "b"):
            shard.write(name, np.zeros((4, 2, 8, 8), np.uint8))
    fields = {"of": ClipFields([tmp_path / "of.h5"])}
    run = svm.METHOD.run(RunName("of", "svm", 1), "svm", ("x", "y"), {})
    task = Task(run, [Clip("a", "", "x"), Clip("b", "", "y")], fields, CPU, Session(tmp_path / "log.csv"))
    with pytest.raises(UserError) as error:
        svm.METHOD.fit(task)
    assert str(error.value) == (
        "methods.svm.features: this method needs features, but 'of' are fields; set methods.svm.features"
    )


def test_vectors_of_several_modalities_are_joined(tmp_path: Path) -> None:
    rng, fields = np.random.default_rng(0), {}
    for name, columns in (("rgb", 3), ("of", 2)):
        with write_shard(tmp_path / f"{name}.h5", f"frozen-{name}", {}) as shard:
            for clip in ("a", "b", "c", "d"):
                shard.store(clip, rng.normal(size=(4, columns)).astype(np.float32))
        fields[name] = ClipFields([tmp_path / f"{name}.h5"])
    run = svm.METHOD.run(RunName("rgb+of", "svm", 1), "svm", ("x", "y"), {"parts": [1]})
    clips = [Clip(name, "", label) for name, label in zip("abcd", "xyxy", strict=True)]
    recogniser = svm.METHOD.fit(Task(run, clips, fields, CPU, Session(tmp_path / "log.csv")))
    joined = np.stack([np.concatenate([fields[n][clip][:].mean(0) for n in ("rgb", "of")]) for clip in "abcd"])
    expected = svm.classifier(SvmOptions(), 0).fit(joined, [0, 1, 0, 1]).decision_function(joined)
    scores = recogniser.scores(tuple("abcd"), fields, Views(), CPU)
    np.testing.assert_allclose(scores[:, 0], np.stack([-expected, expected], 1), rtol=1e-6)
