"""The family of shallow classifiers: a scikit-learn Pipeline on one vector per clip.

A method of this family consists of two parts: one turns the stored features of a clip into a vector, the other makes
the Pipeline. The first is a function (`shallow_method`) or, where it has to learn from the training clips, an `Encoder`
for each modality of the input (`encoded_method`). Encoders and Pipelines are stored as the arrays that they learnt,
never as pickled code.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.metrics import hinge_loss
from sklearn.pipeline import Pipeline
from torch import Tensor

from stp.config import Views
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.evaluation.run_facts import RunFacts
from stp.methods import Method, Task
from stp.system.devices import Compute
from stp.system.progress import progress
from stp.training.log import EpochTally, log_row, write_log
from stp.training.model_file import ModelFile, TrainedOn, write_model
from stp.training.run import Run

Vector = Callable[[Any, np.ndarray], np.ndarray]  # options, stored features of a clip -> float (D,)
Classifier = Callable[[Any, int], Pipeline]  # options, seed -> a Pipeline that is not yet fitted
ENCODER = "encoder"  # begins the names of an encoder's arrays in a model file


@dataclass(frozen=True)
class StoredClips(Sequence[np.ndarray]):
    """The stored features of some clips in one modality, each read when it is asked for. No other clip can be read.

    A clip's array is (n, ...) of a float type, mapped and read-only; n is 0 for a clip in which nothing was found.
    `method` is the name of the runs that read them.

    Raises:
        UserError: on indexing, a clip stores fields, or features that are not finite.
    """

    fields: ClipFields
    names: tuple[str, ...]
    method: str

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> np.ndarray:  # type: ignore[override]  # a slice of clips is never needed
        stored = self.fields[self.names[number]][:]
        modality = self.fields.modality
        if not np.issubdtype(stored.dtype, np.floating):
            key = f"methods.{self.method}.features"
            raise UserError(f"{key}: this method needs features, but '{modality}' are fields; set {key}")
        if not np.isfinite(stored).all():
            raise UserError(
                f"features '{modality}' of clip '{self.names[number]}' are NaN or infinite; compute them again"
            )
        return stored

    def lengths(self) -> np.ndarray:
        """The first axis of each clip's array, int64 (clips,); nothing is read."""
        return np.array([self.fields.shape(name)[0] for name in self.names], np.int64)


def stacked(vectors: Iterable[np.ndarray], number: int) -> np.ndarray:
    """np.stack of `number` vectors, which are not held all at once beside the result."""
    rows = iter(vectors)
    first = next(rows)
    stack = np.empty((number, *first.shape), first.dtype)
    for row, vector in enumerate(chain([first], rows)):
        stack[row] = vector
    return stack


class Encoder(Protocol):
    """Turns the stored features of a clip into a vector, after it has learnt from the training clips of a fold."""

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        """Learn from the training clips, of which `labels` are the class numbers; returns their vectors (clips, D)."""
        ...

    def vector(self, stored: np.ndarray) -> np.ndarray:
        """The vector of a clip, float (D,)."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that was learnt, by name."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` returned; KeyError if something is missing."""
        ...


MakeEncoder = Callable[[Any, str], Encoder]  # options, modality -> an encoder that is not yet fitted


@dataclass(frozen=True)
class FunctionEncoder:
    """An encoder that learns nothing: a function of a clip."""

    options: Any
    function: Vector

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        return stacked(map(self.vector, clips), len(clips))

    def vector(self, stored: np.ndarray) -> np.ndarray:
        return self.function(self.options, stored)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        pass


def learnt(pipeline: Pipeline) -> dict[str, Tensor]:
    """Everything that a fitted Pipeline learnt, by `STEP.ATTRIBUTE`; scikit-learn ends such names with `_`."""
    return {
        f"{step}.{name}": torch.tensor(value)
        for step, estimator in pipeline.steps
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_") and isinstance(value, (np.ndarray, np.number, int, float))
    }


def restore(pipeline: Pipeline, state: Mapping[str, Tensor]) -> Pipeline:
    """Restore a Pipeline to the state that `learnt` read."""
    for key, value in state.items():
        step, _, name = key.partition(".")
        array = value.numpy()
        setattr(pipeline.named_steps[step], name, array if array.ndim else array.item())
    return pipeline


def decision_values(pipeline: Pipeline, vectors: np.ndarray) -> np.ndarray:
    """Decision values of the clips' vectors (clips, D): float32 (clips, classes), also for two classes."""
    values = pipeline.decision_function(vectors)
    if values.ndim == 1:
        values = np.stack([-values, values], axis=1)
    return np.asarray(values, np.float32)


@dataclass(frozen=True)
class ShallowRecogniser:
    """A fitted Pipeline, and an encoder for each modality of the run's input, in its order."""

    run: Run
    pipeline: Pipeline
    encoders: Mapping[str, Encoder]

    def vectors(self, clips: Sequence[str], fields: Mapping[str, ClipFields]) -> np.ndarray:
        """One vector per clip, concatenated over the modalities of the run: (clips, D)."""
        stored = {name: StoredClips(fields[name], tuple(clips), self.run.name.method) for name in self.encoders}
        vectors = (
            np.concatenate([encoder.vector(stored[name][i]) for name, encoder in self.encoders.items()])
            for i in progress(range(len(clips)), desc="vectors", unit="clip")
        )
        return stacked(vectors, len(clips))

    def scores(
        self, clips: Sequence[str], fields: Mapping[str, ClipFields], views: Views, compute: Compute
    ) -> np.ndarray:
        """See `stp.methods.Recogniser`; these scores are decision values, with one segment per clip."""
        return decision_values(self.pipeline, self.vectors(clips, fields))[:, None]

    def facts(self, trained_on: TrainedOn) -> RunFacts:
        """See `stp.methods.Recogniser`; pre-training is that of the features, whose network is not counted."""
        made = (trained_on.fields or {}).values()
        sources = [parameters.get("options", {}).get("weights", "none") for parameters in made]
        parameters = sum(value.numel() for value in self.state().values())
        return RunFacts(", ".join(dict.fromkeys(sources)) or "none", parameters, 0.0)

    def state(self) -> dict[str, Tensor]:
        """Everything that was learnt: by `STEP.ATTRIBUTE`, and of encoders by `encoder.MODALITY.NAME`."""
        return learnt(self.pipeline) | {
            f"{ENCODER}.{modality}.{name}": value
            for modality, encoder in self.encoders.items()
            for name, value in encoder.state().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` returned; KeyError or AttributeError if it is another method's."""
        for modality, encoder in self.encoders.items():
            start = f"{ENCODER}.{modality}."
            encoder.restore({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
        restore(self.pipeline, {key: value for key, value in state.items() if not key.startswith(f"{ENCODER}.")})

    def save(self, path: Path, trained_on: TrainedOn) -> None:
        """See `stp.methods.Recogniser`."""
        write_model(path, self.run, self.state(), trained_on)


def encoded_method(
    options: type, encoder: MakeEncoder, classifier: Classifier, check: Callable[[Run], object] = lambda run: None
) -> Method:
    """A method whose vectors are those of `encoder(options, modality)`, for each modality of a run's input.

    The vectors of several modalities are concatenated, and classified by `classifier(options, seed)`. Encoders learn
    from the training clips alone. `check` is that of `stp.methods.Method`.
    """

    def unfitted(run: Run) -> ShallowRecogniser:
        encoders = {modality: encoder(run.options, modality) for modality in run.name.modalities}
        return ShallowRecogniser(run, classifier(run.options, run.name.seed), encoders)

    def fit(task: Task) -> ShallowRecogniser:
        began = time.perf_counter()
        run, labels = task.run, task.labels
        recogniser, names = unfitted(run), tuple(clip.clip for clip in task.clips)
        parts = [
            encoder.fit(StoredClips(task.fields[modality], names, run.name.method), labels, run.name.seed)
            for modality, encoder in recogniser.encoders.items()
        ]
        vectors = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        recogniser.pipeline.fit(vectors, labels)
        values = decision_values(recogniser.pipeline, vectors)
        tally = EpochTally.empty(len(run.classes))
        loss = hinge_loss(labels, values[:, 1] if len(run.classes) == 2 else values)
        tally.add(float(loss), labels, values.argmax(1), len(labels), time.perf_counter() - began)
        write_log(task.session.log_csv, [log_row(1, tally, learning_rate=0, gpu_mib=0)])
        return recogniser

    def load(file: ModelFile) -> ShallowRecogniser:
        recogniser = unfitted(METHOD.run(file.name, file.kind, file.classes, file.settings))
        try:
            recogniser.restore(file.weights)
        except (KeyError, AttributeError):
            raise file.unusable(f"its weights are not those of {recogniser.run.name}") from None
        return recogniser

    METHOD = Method(options, fit, load, check)
    return METHOD


def shallow_method(options: type, vector: Vector, classifier: Classifier) -> Method:
    """A method that computes vectors by `vector(options, stored)` and classifies them by `classifier(options, seed)`.

    `stored` are the stored features of a clip in one modality; the vectors of several modalities are concatenated.
    """
    return encoded_method(options, lambda chosen, modality: FunctionEncoder(chosen, vector), classifier)
