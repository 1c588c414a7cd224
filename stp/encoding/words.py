"""Bags of words (Wang et al., CVPR 2011): how often each word of a vocabulary occurs among a clip's descriptors."""

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import pairwise_distances_argmin
from threadpoolctl import threadpool_limits


def fit_words(descriptors: np.ndarray, words: int, seed: int) -> np.ndarray:
    """A vocabulary of descriptors (n, D) of one type, by k-means in small batches: float32 (words, D); n >= `words`."""
    with threadpool_limits(1, "openmp"):  # as in `stp.encoding.fisher.fit_codebook`
        clusters = MiniBatchKMeans(words, batch_size=max(1024, 2 * words), n_init=1, random_state=seed)
        centres: np.ndarray = clusters.fit(descriptors.astype(np.float32)).cluster_centers_
    return centres


def histogram(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """The share of descriptors (n, D) that are nearest to each word: float32 (words,); zeros without descriptors."""
    if not len(descriptors):
        return np.zeros(len(words), np.float32)
    nearest = pairwise_distances_argmin(descriptors.astype(np.float32), words)
    return (np.bincount(nearest, minlength=len(words)) / len(descriptors)).astype(np.float32)
