"""Multiple points of view (Yonetani, Kitani and Sato, CVPR 2016): a linear SVM on what two people see of one action.

The second person's video is described by improved trajectories, as in the method idt, and the actor's own by pooled
time series of cumulative displacement. Each view's vector has the length 1, and both stand side by side: the length of
the SVM's weights of a view says how important it is. A run may also see one view alone.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from sklearn.pipeline import Pipeline
from torch import Tensor

from stp.encoding.fisher import unit_length
from stp.encoding.pooled_series import Operator, pooled_series
from stp.errors import UserError
from stp.methods import Recogniser, Task
from stp.methods.idt import FisherEncoder, FisherOptions, linear_svm
from stp.methods.shallow import Encoder, FunctionEncoder, ShallowRecogniser, StoredClips, encoded_method
from stp.training.run import Run

log = logging.getLogger(__name__)

INPUTS = ("idt+displacement", "idt", "displacement")


@dataclass(frozen=True)
class MpovOptions(FisherOptions):
    """Fisher vectors of trajectories, and the `operators` that pool the time series (`stp.encoding.pooled_series`)."""

    operators: tuple[Operator, ...] = ("sum", "max", "counts")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.operators or len(set(self.operators)) < len(self.operators):
            raise UserError(
                f"config: option operators: {list(self.operators)} is not allowed; name one or more of "
                f"{', '.join(get_args(Operator))}, each once"
            )


def check_input(run: Run) -> None:
    """Raise UserError unless a run sees both views or one of them."""
    if run.name.input not in INPUTS:
        raise UserError(
            f"methods.{run.name.method}.inputs: '{run.name.input}' are not views that this method knows; allowed are "
            f"{', '.join(INPUTS)}"
        )


@dataclass(frozen=True)
class ViewEncoder:
    """The vectors of another encoder, divided by their lengths, so that both views weigh equally."""

    view: Encoder

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        return unit_length(self.view.fit(clips, labels, seed))

    def vector(self, stored: np.ndarray) -> np.ndarray:
        return unit_length(self.view.vector(stored))

    def state(self) -> dict[str, Tensor]:
        return self.view.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.view.restore(state)


def pooled(options: MpovOptions, stored: np.ndarray) -> np.ndarray:
    """The pooled time series of a clip's cumulative displacement (frames, D): float32."""
    return pooled_series(stored, options.operators).astype(np.float32)


def encoder(options: MpovOptions, modality: str) -> Encoder:
    return ViewEncoder(FisherEncoder(options) if modality == "idt" else FunctionEncoder(options, pooled))


def classifier(options: MpovOptions, seed: int) -> Pipeline:
    """One linear SVM per class against all others."""
    return linear_svm(options.C, seed)


def importance(recogniser: ShallowRecogniser, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The length of the SVM's weights of each view, by its name, for each class: float (classes,), or (1,) for two.

    `widths` are the numbers of values of the views' vectors, in the order of the run's input.
    """
    borders = np.cumsum(list(widths.values()))[:-1]
    parts = np.split(recogniser.pipeline.named_steps["svm"].coef_, borders, axis=1)
    return {view: np.linalg.norm(part, axis=1) for view, part in zip(widths, parts, strict=True)}


def fit(task: Task) -> Recogniser:
    """Train a run; with two views, the log says how important each is."""
    recogniser = BASE.fit(task)
    assert isinstance(recogniser, ShallowRecogniser)
    if len(recogniser.encoders) > 1:
        clip = task.clips[0].clip
        widths = {view: len(item.vector(task.fields[view][clip][:])) for view, item in recogniser.encoders.items()}
        for view, norms in importance(recogniser, widths).items():
            classes = zip(task.run.classes[-len(norms) :], norms, strict=True)  # of two, the second has the weights
            each = ", ".join(f"{name} {norm:.3g}" for name, norm in classes)
            log.info("importance of view %s, the length of its weights: mean %.3g; %s", view, norms.mean(), each)
    return recogniser


BASE = encoded_method(MpovOptions, encoder, classifier, check_input)
METHOD = replace(BASE, fit=fit)
