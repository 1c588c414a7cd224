"""The family of shallow classifiers: encoders learn from the training clips alone, and are stored as arrays."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from torch import Tensor

from stp.config import Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.methods import Method, Task
from stp.methods.shallow import ShallowRecogniser, StoredClips, encoded_method
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn, read_model
from stp.training.session import Session

CPU = Compute(torch.device("cpu"))
CLIPS = [Clip(name, "", label) for name, label in zip("abcd", "xyxy", strict=True)]


@dataclass(frozen=True)
class CentredOptions:
    C: float = 1.0


@dataclass
class Centred:
    """A clip's mean without that of the training clips; remembers how it was fitted."""

    modality: str
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    fitted_with: tuple[tuple[str, ...], list[int], int] | None = None

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        self.fitted_with = clips.names, labels.tolist(), seed
        self.mean = np.mean([stored.mean(0) for stored in clips], axis=0)
        return np.stack([self.vector(stored) for stored in clips])

    def vector(self, stored: np.ndarray) -> np.ndarray:
        return stored.mean(0) - self.mean

    def state(self) -> dict[str, Tensor]:
        return {"mean": torch.tensor(self.mean)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"].numpy()


def centred_method() -> Method:
    return encoded_method(
        CentredOptions,
        lambda options, modality: Centred(modality),
        lambda options, seed: Pipeline([("svm", LinearSVC(C=options.C, random_state=seed))]),
    )


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, ClipFields]:
    """Features of two modalities of the training clips, and of a clip `e` that no training may see: it is NaN."""
    rng = np.random.default_rng(0)
    for name, columns in (("rgb", 3), ("of", 2)):
        with write_shard(tmp_path / f"{name}.h5", f"frozen-{name}", {}) as shard:
            for clip in "abcd":
                shard.store(clip, rng.normal(size=(4, columns)).astype(np.float32))
            shard.store("e", np.full((4, columns), np.nan, np.float32))
    return {name: ClipFields([tmp_path / f"{name}.h5"]) for name in ("rgb", "of")}


def fitted(method: Method, fields: dict[str, ClipFields], folder: Path) -> ShallowRecogniser:
    run = method.run(RunName("rgb+of", "centred", 1, seed=5), "centred", ("x", "y"), {})
    recogniser = method.fit(Task(run, CLIPS, fields, CPU, Session(folder / "log.csv")))
    assert isinstance(recogniser, ShallowRecogniser)
    return recogniser


def test_each_modality_has_an_encoder_that_sees_the_training_clips_alone(
    fields: dict[str, ClipFields], tmp_path: Path
) -> None:
    recogniser = fitted(centred_method(), fields, tmp_path)
    assert list(recogniser.encoders) == ["rgb", "of"]
    for modality, encoder in recogniser.encoders.items():
        assert isinstance(encoder, Centred)
        assert encoder.modality == modality
        assert encoder.fitted_with == (("a", "b", "c", "d"), [0, 1, 0, 1], 5)
        means = [fields[modality][clip][:].mean(0) for clip in "abcd"]
        np.testing.assert_allclose(encoder.mean, np.mean(means, axis=0), rtol=1e-6)


def test_what_encoders_learnt_is_in_the_model_file(fields: dict[str, ClipFields], tmp_path: Path) -> None:
    method = centred_method()
    recogniser = fitted(method, fields, tmp_path)
    recogniser.save(tmp_path / "model.pt", TrainedOn(list("abcd"), {"rgb": {}, "of": {}}))
    file = read_model(tmp_path / "model.pt")
    assert {"encoder.rgb.mean", "encoder.of.mean", "svm.coef_", "svm.intercept_"} <= set(file.weights)
    scores = recogniser.scores(tuple("abcd"), fields, Views(), CPU)
    assert np.array_equal(method.load(file).scores(tuple("abcd"), fields, Views(), CPU), scores)
    # 2 means of 3 and of 2 numbers, 5 coefficients, and of the SVM an intercept, 2 classes and 2 counts
    assert recogniser.facts(TrainedOn()).parameters == 3 + 2 + 5 + 1 + 2 + 2
    del file.weights["encoder.of.mean"]  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"its weights are not those of rgb\+of/centred/fold1/seed5; train it again"):
        method.load(file)


def test_a_clip_is_read_when_it_is_asked_for(fields: dict[str, ClipFields]) -> None:
    clips = StoredClips(fields["of"], ("b", "e"), "centred")
    assert len(clips) == 2
    assert np.array_equal(clips[0], fields["of"]["b"][:])
    with pytest.raises(UserError, match=re.escape("features 'frozen-of' of clip 'e' are NaN or infinite")):
        list(clips)
