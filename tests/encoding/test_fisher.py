"""Fisher vectors against a plain statement of their equations, and what PCA and the mixture have learnt."""

import math

import numpy as np
import pytest

from stp.encoding.fisher import AT_ONCE, Codebook, fit_codebook, unit_length

RNG = np.random.default_rng(0)
DESCRIPTORS = RNG.normal(size=(60, 6)) * [3, 2, 1, 0.5, 0.2, 0.1] + 4


def codebook(gaussians: int) -> Codebook:
    """Any numbers; the weights add up to 1."""
    rng = np.random.default_rng(1)
    weights = rng.random(gaussians) + 0.2
    return Codebook(
        DESCRIPTORS.mean(0),
        rng.normal(size=(6, 3)),
        weights / weights.sum(),
        rng.normal(size=(gaussians, 3)),
        rng.random((gaussians, 3)) + 0.5,
    )


def plain_fisher_vector(book: Codebook, descriptors: np.ndarray) -> np.ndarray:
    """The equations, descriptor by descriptor and Gaussian by Gaussian."""
    gaussians, numbers = book.means.shape
    by_means, by_deviations = np.zeros((gaussians, numbers)), np.zeros((gaussians, numbers))
    for descriptor in descriptors:
        x = (descriptor - book.mean) @ book.projection
        densities = [
            book.weights[k]
            * math.prod(
                math.exp(-((x[i] - book.means[k, i]) ** 2) / (2 * book.deviations[k, i] ** 2))
                / (math.sqrt(2 * math.pi) * book.deviations[k, i])
                for i in range(numbers)
            )
            for k in range(gaussians)
        ]
        for k in range(gaussians):
            share = densities[k] / sum(densities)
            for i in range(numbers):
                u = (x[i] - book.means[k, i]) / book.deviations[k, i]
                by_means[k, i] += share * u / (len(descriptors) * math.sqrt(book.weights[k]))
                by_deviations[k, i] += share * (u * u - 1) / (len(descriptors) * math.sqrt(2 * book.weights[k]))
    gradients = np.concatenate([by_means.ravel(), by_deviations.ravel()])
    rooted = np.array([math.copysign(math.sqrt(abs(value)), value) for value in gradients])
    return rooted / math.sqrt(sum(value**2 for value in rooted))


@pytest.mark.parametrize("gaussians", [1, 4])
def test_a_fisher_vector_is_that_of_the_equations(gaussians: int) -> None:
    book = codebook(gaussians)
    vector = book.fisher_vector(book.sums(DESCRIPTORS))
    assert vector.dtype == np.float32
    assert vector.shape == (2 * gaussians * 3,)
    np.testing.assert_allclose(vector, plain_fisher_vector(book, DESCRIPTORS), atol=1e-6, rtol=0)


def test_with_one_gaussian_it_is_the_standardised_mean() -> None:
    book = codebook(1)
    projected = (DESCRIPTORS - book.mean) @ book.projection
    z = (projected - book.means[0]) / book.deviations[0]
    gradients = np.concatenate([z.mean(0), ((z**2).mean(0) - 1) / np.sqrt(2)])
    expected = np.sign(gradients) * np.sqrt(abs(gradients))
    np.testing.assert_allclose(
        book.fisher_vector(book.sums(DESCRIPTORS)), expected / np.linalg.norm(expected), atol=1e-6, rtol=0
    )


def test_sums_of_two_parts_add_up_to_those_of_the_whole() -> None:
    book = codebook(4)
    many = np.tile(DESCRIPTORS, (AT_ONCE // 40, 1))  # in two pieces
    np.testing.assert_allclose(book.sums(many[:1000]) + book.sums(many[1000:]), book.sums(many), rtol=1e-9)
    np.testing.assert_allclose(book.sums(many)[:, 0].sum(), len(many))


def test_posteriors_of_far_descriptors_are_shares() -> None:
    book = codebook(4)
    shares = book.posteriors(np.array([[1e6, -1e6, 1e6], [0, 0, 0]]))
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(1), 1)


def test_without_descriptors_it_is_zeros() -> None:
    book = codebook(4)
    vector = book.fisher_vector(book.sums(np.zeros((0, 6), np.float16)))
    assert vector.dtype == np.float32
    assert vector.tolist() == [0] * 24


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_keeps_the_directions_of_the_largest_variance(whiten: bool) -> None:
    many = np.random.default_rng(2).normal(size=(4000, 6)) * [3, 2, 1, 0.5, 0.2, 0.1] + 4
    book = fit_codebook(many, 4, whiten, seed=0)
    np.testing.assert_allclose(book.mean, many.mean(0), rtol=1e-6)
    projected = (many - book.mean) @ book.projection
    np.testing.assert_allclose(projected.std(0), [1, 1, 1] if whiten else [3, 2, 1], rtol=0.05)
    directions = unit_length(book.projection.T)
    assert (abs(directions[[0, 1, 2], [0, 1, 2]]) > 0.99).all()


def test_a_mixture_finds_the_centres_of_its_descriptors() -> None:
    rng = np.random.default_rng(3)
    centres = np.array([[-6.0, 0], [0, 0], [6, 0]])
    many = np.concatenate([centre + rng.normal(size=(500, 2)) * [0.5, 0.1] for centre in centres])
    book = fit_codebook(np.concatenate([many, 1e-3 * rng.normal(size=many.shape)], axis=1), 3, False, seed=0)
    found = np.sort(abs(book.means[:, 0]))
    np.testing.assert_allclose(found, [0, 6, 6], atol=0.1)
    np.testing.assert_allclose(book.weights, 1 / 3, atol=0.01)
    np.testing.assert_allclose(book.deviations[:, 0], 0.5, rtol=0.1)


def test_a_codebook_repeats_to_the_byte_and_depends_on_the_seed() -> None:
    many = np.random.default_rng(4).normal(size=(300, 6))
    first, again, other = (fit_codebook(many, 5, True, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(value, vars(again)[name]) for name, value in vars(first).items())
    assert not np.array_equal(first.means, other.means)


def test_a_codebook_is_restored_from_its_arrays() -> None:
    book = fit_codebook(DESCRIPTORS, 3, True, seed=0)
    again = Codebook.of_state(book.state())
    assert np.array_equal(again.fisher_vector(again.sums(DESCRIPTORS)), book.fisher_vector(book.sums(DESCRIPTORS)))
    state = book.state()
    del state["means"]
    with pytest.raises(KeyError):
        Codebook.of_state(state)
