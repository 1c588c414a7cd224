"""Motion atoms (Wang, Qiao and Tang, IJCV 2016): kinds of short movements of a class, found by clustering.

A candidate is a vector of a temporal segment of a training video. Candidates of a class are clustered, and then an SVM
that separates a cluster from the candidates of the other classes alternates with the choice of the cluster's members:
as many candidates of the class as it had, those that the SVM scores best. The SVM is the atom.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AffinityPropagation

from stp.encoding.kernels import fit_svm
from stp.system.progress import progress


@dataclass(frozen=True)
class Clustering:
    """The size below which a cluster is dropped, the rounds, and the weight of the SVMs' errors."""

    smallest: int = 4
    rounds: int = 5
    C: float = 1.0


@dataclass(frozen=True)
class Atoms:
    """Linear SVMs: weights float32 (A, D), biases float32 (A,), and the class numbers of the atoms int64 (A,)."""

    weights: np.ndarray
    biases: np.ndarray
    classes: np.ndarray

    def activations(self, vectors: np.ndarray) -> np.ndarray:
        """How much each vector (n, D) is like each atom: decision values as shares of 0 to 1, float32 (n, A).

        Shares, the logistic function of the values, are what a product with a weight lowers: values may be negative.
        """
        values = vectors @ self.weights.T + self.biases
        shares: np.ndarray = 0.5 + 0.5 * np.tanh(values / 2)
        return shares


def similarities(vectors: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Similarity of candidates (n, D), whose vectors consist of parts of these `widths`, with each other: (n, n).

    The sum over the parts of exp(-D / mean D), with Euclidean distances D and their mean over pairs.
    """
    total = np.zeros((len(vectors), len(vectors)))
    pairs = ~np.eye(len(vectors), dtype=bool)
    for part in np.split(vectors.astype(np.float64), np.cumsum(widths)[:-1], axis=1):
        squares = (part**2).sum(1)
        distances = np.sqrt(np.maximum(squares[:, None] - 2 * part @ part.T + squares, 0))
        mean = distances[pairs].mean() if len(vectors) > 1 else 0.0
        total += np.exp(-distances / (mean if mean > 0 else 1.0))
    return total


def clusters(similarity: np.ndarray, smallest: int, seed: int) -> list[np.ndarray]:
    """Members of each cluster by affinity propagation, of `smallest` or more; all candidates if there is no such."""
    everything = np.arange(len(similarity))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without convergence or differences, there may be no cluster
        found = AffinityPropagation(damping=0.7, max_iter=500, affinity="precomputed", random_state=seed)
        labels = found.fit(similarity).labels_
    members = [everything[labels == label] for label in np.unique(labels[labels >= 0])]
    return [cluster for cluster in members if len(cluster) >= smallest] or [everything]


def alternate(
    kernel: np.ndarray, members: np.ndarray, classes: tuple[np.ndarray, np.ndarray], clustering: Clustering
) -> tuple[np.ndarray, np.ndarray, float]:
    """The last SVM of a cluster: the candidates that it separates from those of other classes, weights, intercept.

    `kernel` (n, n) is that of all candidates; the weights are (n,). `classes` are the numbers of the candidates of the
    cluster's own class, and of the others; `members` are those of the cluster. It ends early if they stay the same.
    """
    own, others = classes
    weights = np.zeros(len(kernel))
    for _ in range(clustering.rounds):
        separated = members
        seen = np.concatenate([members, others])
        weights[:] = 0
        weights[seen], intercept = fit_svm(kernel[np.ix_(seen, seen)], np.isin(seen, members), clustering.C)
        values = kernel[own] @ weights + intercept
        members = np.sort(own[np.argsort(-values, kind="stable")[: len(members)]])
        if np.array_equal(members, separated):
            break
    return separated, weights, intercept


def find_atoms(
    vectors: np.ndarray, labels: np.ndarray, widths: Sequence[int], clustering: Clustering, seed: int
) -> Atoms:
    """The atoms of all classes, from candidates float32 (n, D) with class numbers (n,); see `similarities` for widths.

    All candidates of other classes are negatives, which stands for the search for hard ones. Without candidates of two
    classes there is no atom.
    """
    kernel = (vectors @ vectors.T).astype(np.float64)
    weights, biases, classes = [], [], []
    names = np.unique(labels)
    for label in progress(names if len(names) > 1 else [], desc="motion atoms", unit="class"):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        for cluster in clusters(similarities(vectors[own], widths), clustering.smallest, seed):
            _, shares, intercept = alternate(kernel, own[cluster], (own, others), clustering)
            weights.append(shares.astype(np.float32) @ vectors)
            biases.append(intercept)
            classes.append(label)
    stacked = np.array(weights, np.float32).reshape(len(weights), vectors.shape[1])
    return Atoms(stacked, np.array(biases, np.float32), np.array(classes, np.int64))
