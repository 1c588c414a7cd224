"""Improved Fisher vectors (Perronnin, Sanchez and Mensink, ECCV 2010; as in Wang and Schmid, ICCV 2013).

Descriptors of one type are projected by PCA to half of their dimension, and their density is a mixture of K Gaussians
with diagonal covariances. A clip's vector is the gradient of the log likelihood of its descriptors with respect to the
means and to the standard deviations, with signed square roots, divided by its length. It needs no descriptor by itself:
sums over them, weighted by their posteriors, are enough, and those of two parts of a clip add up.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

AT_ONCE = 4096  # descriptors, which bounds the memory that a long clip takes


@dataclass(frozen=True)
class Codebook:
    """PCA from D to d numbers, and a mixture of K Gaussians. All arrays are float64.

    mean (D,)  projection (D, d)  weights (K,)  means (K, d)  deviations (K, d)
    """

    mean: np.ndarray
    projection: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def posteriors(self, projected: np.ndarray) -> np.ndarray:
        """The share of each Gaussian in each projected descriptor: (n, d) -> (n, K)."""
        precisions = self.deviations**-2
        # (x - m)^2 = x^2 - 2 x m + m^2, as products of matrices
        distances = projected**2 @ precisions.T - 2 * projected @ (self.means * precisions).T
        constant = np.log(self.weights) - np.log(self.deviations).sum(1) - 0.5 * (self.means**2 * precisions).sum(1)
        shares: np.ndarray = softmax(constant - 0.5 * distances, axis=1)
        return shares

    def sums(self, descriptors: np.ndarray) -> np.ndarray:
        """Sums over descriptors (n, D), weighted by their posteriors: of 1, x and x^2, float64 (K, 1 + 2 d)."""
        total = np.zeros((len(self.weights), 1 + 2 * self.means.shape[1]))
        for first in range(0, len(descriptors), AT_ONCE):
            projected = (descriptors[first : first + AT_ONCE].astype(np.float64) - self.mean) @ self.projection
            powers = np.concatenate([np.ones((len(projected), 1)), projected, projected**2], axis=1)
            total += self.posteriors(projected).T @ powers
        return total

    def fisher_vector(self, sums: np.ndarray) -> np.ndarray:
        """The Fisher vector of descriptors with these sums: float32 (2 K d,), of length 1; zeros without descriptors.

        First the gradients with respect to the means, Gaussian by Gaussian, then those to the deviations.
        """
        count, first, second = np.split(sums, [1, 1 + self.means.shape[1]], axis=1)
        number = count.sum()
        if not number:
            return np.zeros(2 * self.means.size, np.float32)
        scale = number * np.sqrt(self.weights)[:, None]
        by_means = (first - count * self.means) / self.deviations / scale
        squares = (second - 2 * first * self.means + count * self.means**2) / self.deviations**2
        by_deviations = (squares - count) / (np.sqrt(2) * scale)
        gradients = np.concatenate([by_means.ravel(), by_deviations.ravel()])
        return unit_length(np.sign(gradients) * np.sqrt(np.abs(gradients))).astype(np.float32)

    def state(self) -> dict[str, Tensor]:
        """The arrays by name."""
        return {name: torch.tensor(value) for name, value in vars(self).items()}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "Codebook":
        """The codebook with these arrays; KeyError if one is missing."""
        return cls(**{name: state[name].numpy() for name in cls.__dataclass_fields__})


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def fit_codebook(descriptors: np.ndarray, gaussians: int, whiten: bool, seed: int) -> Codebook:
    """PCA to half of the dimension and a mixture of Gaussians, of descriptors (n, D) of one type; n >= `gaussians`.

    With `whiten`, each projected number has variance 1. The mixture begins with k-means and learns in up to 100 steps.
    """
    descriptors = descriptors.astype(np.float64)
    # Threads of k-means add up in the order in which they end, so that several would not repeat to the last bit.
    with threadpool_limits(1, "openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 100 steps, the mixture is good enough
        pca = PCA(descriptors.shape[1] // 2, random_state=seed).fit(descriptors)
        variances = np.maximum(pca.explained_variance_, np.finfo(np.float64).eps)
        projection = pca.components_.T / (np.sqrt(variances) if whiten else 1)
        projected = (descriptors - pca.mean_) @ projection
        mixture = GaussianMixture(gaussians, covariance_type="diag", random_state=seed).fit(projected)
    return Codebook(pca.mean_, projection, mixture.weights_, mixture.means_, np.sqrt(mixture.covariances_))
