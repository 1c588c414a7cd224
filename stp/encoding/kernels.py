"""SVMs on kernels; the chi-square kernel of several channels (Zhang et al., IJCV 2007), as a step of a Pipeline."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.metrics.pairwise import additive_chi2_kernel
from sklearn.svm import SVC


def chi2_distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Half of the sum of (a - b)^2 / (a + b), of each of `some` (n, D) from each of `others` (m, D): (n, m)."""
    return -0.5 * additive_chi2_kernel(some, others)


class Chi2Kernel(TransformerMixin, BaseEstimator):
    """exp(-mean over channels of D / A): D the chi-square distance from the training vectors, A its mean among them.

    A vector consists of `channels` histograms of equal size. The mean is over pairs of different vectors.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def fit(self, vectors: np.ndarray, labels: object = None) -> "Chi2Kernel":
        """Learn from vectors (n, D), which become the arguments of the kernel; n >= 2."""
        self.vectors_ = vectors
        distances = self._distances(vectors)
        means = distances.sum((1, 2)) / (len(vectors) * (len(vectors) - 1))
        self.scales_ = np.where(means > 0, means, 1)  # histograms of one type may all be equal
        return self

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """The kernel of vectors (m, D) and the n training vectors: (m, n)."""
        return np.exp(-(self._distances(vectors) / self.scales_[:, None, None]).mean(0))

    def _distances(self, vectors: np.ndarray) -> np.ndarray:
        """Distances from the training vectors in each channel: (channels, m, n)."""
        pairs = zip(np.split(vectors, self.channels, 1), np.split(self.vectors_, self.channels, 1), strict=True)
        return np.stack([chi2_distances(some, others) for some, others in pairs])


def fit_svm(kernel: np.ndarray, positive: np.ndarray, C: float) -> tuple[np.ndarray, float]:
    """The SVM that separates some vectors from the others: weights of all of them (n,), and an intercept.

    `kernel` (n, n) is theirs with each other. `positive` bool (n,) has both values.
    """
    svm = SVC(C=C, kernel="precomputed").fit(kernel, positive)
    weights = np.zeros(len(positive))
    weights[svm.support_] = svm.dual_coef_[0]
    return weights, float(svm.intercept_[0])


class KernelSVM(ClassifierMixin, BaseEstimator):
    """One SVM per class against all others, on a kernel of the training vectors; all that it learns is in two arrays.

    `coef_` (classes, n) are the weights of the training vectors, `intercept_` is (classes,).
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, kernel: np.ndarray, labels: np.ndarray) -> "KernelSVM":
        """Learn from the kernel of the training vectors with each other (n, n), and their class numbers (n,)."""
        self.classes_ = np.unique(labels)
        rows = [fit_svm(kernel, labels == label, self.C) for label in self.classes_]
        self.coef_ = np.stack([weights for weights, _ in rows])
        self.intercept_ = np.array([intercept for _, intercept in rows])
        return self

    def decision_function(self, kernel: np.ndarray) -> np.ndarray:
        """Decision values (m, classes) from the kernel with the training vectors (m, n)."""
        values: np.ndarray = kernel @ self.coef_.T + self.intercept_
        return values
