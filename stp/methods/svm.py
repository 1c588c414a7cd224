"""A linear SVM on frozen features: the mean over a clip and the means over its temporal parts. No network is trained.

It is the floor for every trained network: the accuracy that the features of `stp/features/frozen.py` reach alone.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from stp.config import check_range
from stp.errors import UserError
from stp.methods.shallow import shallow_method


@dataclass(frozen=True)
class SvmOptions:
    """The clip is divided into each number of temporal `parts` (1: the whole clip); `C` is the weight of the errors.

    The means of all these parts are concatenated. With `balance: loss`, an error counts in inverse proportion to the
    number of clips of its class.
    """

    parts: tuple[int, ...] = (1, 4)
    C: float = 0.01  # for few clips with many standardised features
    balance: Literal["none", "loss"] = "none"

    def __post_init__(self) -> None:
        check_range("parts", self.parts, 1, 1000)
        check_range("C", [self.C], 1e-9, 1e9)


def vector(options: SvmOptions, features: np.ndarray) -> np.ndarray:
    """Means of the clip's parts: features of its images (images, D) -> (sum(parts) * D,)."""
    if len(features) < max(options.parts):
        raise UserError(
            f"methods: option parts has {max(options.parts)}, but a clip has only {len(features)} features; give fewer "
            "parts, or make more features of a clip by features.frozen.images or features.c3d.overlap"
        )
    means = [piece.mean(0) for part in options.parts for piece in np.array_split(features, part)]
    return np.concatenate(means)


def classifier(options: SvmOptions, seed: int) -> Pipeline:
    """Standardised features, then one linear SVM per class against all others."""
    class_weight = "balanced" if options.balance == "loss" else None
    svm = LinearSVC(C=options.C, class_weight=class_weight, random_state=seed)
    return Pipeline([("scaler", StandardScaler()), ("svm", svm)])


METHOD = shallow_method(SvmOptions, vector, classifier)
