"""Bags of words and the chi-square kernel, by hand."""

import math

import numpy as np
from sklearn.svm import SVC

from stp.encoding.kernels import Chi2Kernel, KernelSVM, chi2_distances
from stp.encoding.words import fit_words, histogram

WORDS = np.array([[0, 0], [10, 0], [0, 10]], np.float32)


def test_a_histogram_counts_the_nearest_words() -> None:
    descriptors = np.array([[1, 1], [9, 2], [11, -1], [2, 0], [1, 8]], np.float16)
    np.testing.assert_allclose(histogram(descriptors, WORDS), [0.4, 0.4, 0.2], rtol=1e-6)
    assert histogram(descriptors[:0], WORDS).tolist() == [0, 0, 0]


def test_a_vocabulary_has_the_centres_of_its_descriptors_and_repeats() -> None:
    rng = np.random.default_rng(0)
    descriptors = np.concatenate([word + rng.normal(size=(200, 2)) * 0.1 for word in WORDS])
    words = fit_words(descriptors, 3, seed=0)
    assert words.dtype == np.float32
    np.testing.assert_allclose(words[np.lexsort(words.T.round())], WORDS, atol=0.1)
    assert np.array_equal(fit_words(descriptors, 3, seed=0), words)


def test_chi_square_distances_by_hand() -> None:
    distances = chi2_distances(np.array([[0.5, 0.5, 0]]), np.array([[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0, 1]]))
    np.testing.assert_allclose(distances, [[0, 0.5 * (0.0625 / 0.75 + 0.25), 0.5 * (0.5 + 0.5 + 1)]])


def test_the_kernel_is_the_exponential_of_mean_scaled_distances() -> None:
    # Two channels of two bins. In the first the three vectors are 0, 1 and 1 apart, in the second 1, 1 and 1/3.
    training = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0.5, 0.5]], float)
    first, second = (0 + 1 + 1) / 3, (1 + 1 / 3 + 1 / 3) / 3
    kernel = Chi2Kernel(2).fit(training)
    np.testing.assert_allclose(kernel.scales_, [first, second])
    expected = [[1, math.exp(-(0 / first + 1 / second) / 2), math.exp(-(1 / first + (1 / 3) / second) / 2)]]
    np.testing.assert_allclose(kernel.transform(training[:1]), expected)


def test_channels_that_are_all_equal_do_not_count() -> None:
    training = np.array([[0.5, 0.5, 1, 0], [0.5, 0.5, 0, 1]])
    expected = [[1, math.exp(-0.5)], [math.exp(-0.5), 1]]
    np.testing.assert_allclose(Chi2Kernel(2).fit(training).transform(training), expected)


def test_the_svm_has_one_row_of_weights_a_class() -> None:
    rng = np.random.default_rng(1)
    vectors, labels = rng.normal(size=(30, 4)), np.arange(30) % 3
    vectors[np.arange(30), labels] += 3
    kernel = vectors @ vectors.T
    svm = KernelSVM(C=2.0).fit(kernel, labels)
    assert svm.coef_.shape == (3, 30)
    for label in range(3):
        expected = SVC(C=2.0, kernel="linear").fit(vectors, labels == label).decision_function(vectors)
        np.testing.assert_allclose(svm.decision_function(kernel)[:, label], expected, atol=1e-2)
