"""C3D + SVM (Tran et al., ICCV 2015): a linear SVM on the mean of C3D's features of a video's clips, of length 1."""

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from stp.config import check_range
from stp.methods.shallow import shallow_method


@dataclass(frozen=True)
class C3DSvmOptions:
    """`C` is the weight of the errors; the publication does not give it."""

    C: float = 1.0

    def __post_init__(self) -> None:
        check_range("C", [self.C], 1e-9, 1e9)


def vector(options: C3DSvmOptions, features: np.ndarray) -> np.ndarray:
    """The mean over a video's clips, divided by its length: (clips, D) -> (D,); zeros stay zeros."""
    mean: np.ndarray = features.mean(0)
    length = float(np.linalg.norm(mean))
    return mean / length if length else mean


def classifier(options: C3DSvmOptions, seed: int) -> Pipeline:
    """One linear SVM per class against all others."""
    return Pipeline([("svm", LinearSVC(C=options.C, random_state=seed))])


METHOD = shallow_method(C3DSvmOptions, vector, classifier)
