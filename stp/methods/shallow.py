"""The family of shallow classifiers: a scikit-learn Pipeline on one vector per clip.

A method of this family consists of two functions: one turns the stored features of a clip into a vector, the other
makes the Pipeline. A Pipeline is stored as the arrays that it learnt, never as pickled code.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from stp.training.log import EpochTally, log_row, write_log
from stp.training.model_file import ModelFile, TrainedOn, write_model
from stp.training.run import Run

Vector = Callable[[Any, np.ndarray], np.ndarray]  # options, stored features of a clip -> float (D,)
Classifier = Callable[[Any, int], Pipeline]  # options, seed -> a Pipeline that is not yet fitted


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
    """A fitted Pipeline with its run."""

    run: Run
    pipeline: Pipeline
    vector: Vector

    def vectors(self, clips: Sequence[str], fields: Mapping[str, ClipFields]) -> np.ndarray:
        """One vector per clip, concatenated over the modalities of the run: (clips, D)."""
        names = self.run.name.modalities
        return np.stack([np.concatenate([self._vector(fields[name], clip) for name in names]) for clip in clips])

    def _vector(self, fields: ClipFields, clip: str) -> np.ndarray:
        """A clip's vector in one modality; UserError if it stores fields, or features that are not finite."""
        stored = fields[clip][:]
        if not np.issubdtype(stored.dtype, np.floating):
            key = f"methods.{self.run.name.method}.features"
            raise UserError(f"{key}: this method needs features, but '{fields.modality}' are fields; set {key}")
        if not np.isfinite(stored).all():
            raise UserError(f"features '{fields.modality}' of clip '{clip}' are NaN or infinite; compute them again")
        return self.vector(self.run.options, stored)

    def scores(
        self, clips: Sequence[str], fields: Mapping[str, ClipFields], views: Views, compute: Compute
    ) -> np.ndarray:
        """See `stp.methods.Recogniser`; these scores are decision values, with one segment per clip."""
        return decision_values(self.pipeline, self.vectors(clips, fields))[:, None]

    def facts(self, trained_on: TrainedOn) -> RunFacts:
        """See `stp.methods.Recogniser`; pre-training is that of the features, whose network is not counted."""
        made = (trained_on.fields or {}).values()
        sources = [parameters.get("options", {}).get("weights", "none") for parameters in made]
        parameters = sum(value.numel() for value in learnt(self.pipeline).values())
        return RunFacts(", ".join(dict.fromkeys(sources)) or "none", parameters, 0.0)

    def save(self, path: Path, trained_on: TrainedOn) -> None:
        """See `stp.methods.Recogniser`."""
        write_model(path, self.run, learnt(self.pipeline), trained_on)


def shallow_method(options: type, vector: Vector, classifier: Classifier) -> Method:
    """A method that computes vectors by `vector(options, stored)` and classifies them by `classifier(options, seed)`.

    `stored` are the stored features of a clip in one modality; the vectors of several modalities are concatenated.
    """

    def fit(task: Task) -> ShallowRecogniser:
        began = time.perf_counter()
        run, labels = task.run, task.labels
        recogniser = ShallowRecogniser(run, classifier(run.options, run.name.seed), vector)
        vectors = recogniser.vectors([clip.clip for clip in task.clips], task.fields)
        recogniser.pipeline.fit(vectors, labels)
        values = decision_values(recogniser.pipeline, vectors)
        tally = EpochTally.empty(len(run.classes))
        loss = hinge_loss(labels, values[:, 1] if len(run.classes) == 2 else values)
        tally.add(float(loss), labels, values.argmax(1), len(labels), time.perf_counter() - began)
        write_log(task.session.log_csv, [log_row(1, tally, learning_rate=0, gpu_mib=0)])
        return recogniser

    def load(file: ModelFile) -> ShallowRecogniser:
        run = METHOD.run(file.name, file.kind, file.classes, file.settings)
        try:
            pipeline = restore(classifier(run.options, run.name.seed), file.weights)
        except (KeyError, AttributeError):
            raise UserError(f"{file.path}: its weights are not those of {run.name}; train it again") from None
        return ShallowRecogniser(run, pipeline, vector)

    METHOD = Method(options, fit, load)
    return METHOD
