"""A linear SVM on frozen features: the mean of a clip and those of its temporal parts. No network is trained.

It is the floor below every trained network: what the features of `stp/features/frozen.py` tell by themselves.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from stp.methods.shallow import shallow_method


@dataclass(frozen=True)
class SvmOptions:
    """`parts`: numbers of temporal parts whose means are joined, 1 for the whole clip; `C`: weight of the errors."""

    parts: tuple[int, ...] = (1, 4)
    C: float = 0.01  # of few clips with many standardised features


def vector(options: SvmOptions, features: np.ndarray) -> np.ndarray:
    """Means of the clip's parts: features of its images (images, D) -> (sum(parts) * D,)."""
    means = [piece.mean(0) for part in options.parts for piece in np.array_split(features, part)]
    return np.concatenate(means)


def classifier(options: SvmOptions, seed: int) -> Pipeline:
    """Standardised features, then one linear SVM a class against all others."""
    svm = LinearSVC(C=options.C, random_state=seed)
    return Pipeline([("scaler", StandardScaler()), ("svm", svm)])


METHOD = shallow_method(SvmOptions, vector, classifier)
