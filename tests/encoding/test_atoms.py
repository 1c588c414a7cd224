"""Motion atoms: similarities by hand, clusters, and SVMs that find what a class alone does."""

import math

import numpy as np
import pytest

from stp.encoding.atoms import Atoms, Clustering, alternate, clusters, find_atoms, similarities


def test_similarities_sum_scaled_distances_over_the_parts() -> None:
    # In the first part the three are 3, 4 and 5 apart, mean 4; in the second 0, 1 and 1, mean 2 / 3.
    vectors = np.array([[0, 0, 1], [3, 0, 1], [0, 4, 2]], np.float32)
    expected = [2, math.exp(-3 / 4) + 1, math.exp(-4 / 4) + math.exp(-1 / (2 / 3))]
    similarity = similarities(vectors, [2, 1])
    np.testing.assert_allclose(similarity[0], expected)
    np.testing.assert_allclose(similarity[1, 2], math.exp(-5 / 4) + math.exp(-1 / (2 / 3)))
    np.testing.assert_allclose(similarity, similarity.T)
    assert similarities(vectors[[0, 0]], [2, 1]).tolist() == [[2, 2], [2, 2]]


def groups(*sizes: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(n, 2)) * 0.01 + [i, i % 2] for i, n in enumerate(sizes)])


def test_small_clusters_are_dropped() -> None:
    similarity = similarities(groups(6, 5, 2), [2])
    assert [cluster.tolist() for cluster in clusters(similarity, 4, seed=0)] == [[*range(6)], [*range(6, 11)]]
    assert [cluster.tolist() for cluster in clusters(similarity, 7, seed=0)] == [[*range(13)]]  # none is left
    assert [cluster.tolist() for cluster in clusters(np.ones((3, 3)), 2, seed=0)] == [[0, 1, 2]]


def test_an_atom_is_active_where_its_class_alone_is() -> None:
    rng = np.random.default_rng(1)
    # Both classes have the first direction in common; the second is that of class 0, the third that of class 1.
    centres = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    vectors = (np.repeat(centres, 8, axis=0) + 0.02 * rng.normal(size=(32, 3))).astype(np.float32)
    labels = np.repeat([0, 1], 16)
    atoms = find_atoms(vectors, labels, [3], Clustering(smallest=4, C=10), seed=0)
    assert atoms.weights.dtype == np.float32
    for label in (0, 1):
        own = atoms.activations(centres)[:, atoms.classes == label]
        assert own.shape[1] >= 1
        assert own[1 + 2 * label].max() > 0.6
        assert own[1 + 2 * (1 - label)].max() < 0.4
    again = find_atoms(vectors, labels, [3], Clustering(smallest=4, C=10), seed=0)
    assert all(np.array_equal(value, vars(again)[name]) for name, value in vars(atoms).items())


@pytest.mark.parametrize(
    ("rounds", "separated", "slope", "border"),
    # The SVM lies midway between the nearest of its members and of the others, whose values are 1 and -1.
    [(1, [0, 3], 2 / 0.5, -0.75), (2, [1, 2], 2 / 2.2, 0.1), (9, [1, 2], 2 / 2.2, 0.1)],
)
def test_a_cluster_keeps_its_size_and_takes_the_candidates_that_its_svm_scores_best(
    rounds: int, separated: list[int], slope: float, border: float
) -> None:
    own, others = np.array([0, 1, 2, 3]), np.array([4, 5])
    places = np.array([1, 1.2, 3, -0.5, -1, -2])  # on a line
    kernel = places[:, None] * places
    clustering = Clustering(rounds=rounds, C=1e3)
    members, weights, intercept = alternate(kernel, np.array([0, 3]), (own, others), clustering)
    assert members.tolist() == separated
    np.testing.assert_allclose(weights @ places, slope, rtol=1e-2)
    np.testing.assert_allclose(-intercept / slope, border, atol=1e-2)


def test_candidates_of_one_class_make_no_atom() -> None:
    atoms = find_atoms(np.ones((5, 3), np.float32), np.zeros(5, np.int64), [3], Clustering(), seed=0)
    assert atoms.weights.shape == (0, 3)
    assert atoms.activations(np.ones((2, 3))).shape == (2, 0)


def test_activations_are_the_logistic_function_of_decision_values() -> None:
    atoms = Atoms(np.array([[2, 0], [0, 1]], np.float32), np.array([1, -1], np.float32), np.array([0, 1]))
    expected = [[1 / (1 + math.exp(-(2 * 3 + 1))), 1 / (1 + math.exp(-(4 - 1)))]]
    np.testing.assert_allclose(atoms.activations(np.array([[3, 4]])), expected, rtol=1e-6)
