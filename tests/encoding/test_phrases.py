"""Motion phrases: responses of units, OR and AND by hand, and what mining keeps."""

import math

import numpy as np

from stp.encoding.phrases import (
    ClassMiner,
    Mining,
    as_array,
    held,
    mine_phrases,
    phrase_responses,
    representations,
    unit_responses,
)


def test_a_unit_responds_to_its_atom_near_its_time() -> None:
    activations = np.array([[0.2, 0.9], [0.8, 0.1]])  # two segments, two atoms
    responses = unit_responses(activations, np.array([0.25, 0.75]), np.array([0.25, 0.75]), sigma=0.5)
    away = math.exp(-(0.5**2) / (2 * 0.5**2))
    np.testing.assert_allclose(responses, [max(0.2, 0.8 * away), 0.8, 0.9, max(0.1, 0.9 * away)])


def test_a_phrase_is_the_smallest_of_its_ors_and_an_or_the_largest_of_its_units() -> None:
    responses = np.array([[0.1, 0.5, 0.3, 0.9], [0.7, 0.2, 0.6, 0.4]])  # two videos, four units
    phrases = as_array([((0, 1), (2,)), ((3,), (0, 1, 2))], size=2, units=3)
    assert phrases.tolist() == [[[0, 1, -1], [2, -1, -1]], [[3, -1, -1], [0, 1, 2]]]
    found = phrase_responses(responses, phrases)
    assert found.tolist() == [[min(0.5, 0.3), min(0.9, 0.5)], [min(0.7, 0.6), min(0.4, 0.7)]]
    assert phrase_responses(responses, as_array([], 2, 3)).shape == (2, 0)


def test_a_phrase_holds_the_videos_of_its_class_among_the_largest_responses() -> None:
    own = np.array([True, True, True, False, False])
    responses = np.array([[0.9, 0.5], [0.2, 0.6], [0.5, 0.7], [0.8, 0.1], [0.1, 0.2]])
    assert held(responses, own).T.tolist() == [[True, False, True, False, False], [True, True, True, False, False]]
    np.testing.assert_allclose(representations(responses, own), [0.9 + 0.5, 0.5 + 0.6 + 0.7])


OWN = np.array([True, True, True, True, False, False, False, False])
MINING = Mining(units=2, size=2, kept=10, phrases=2)


def test_an_or_grows_by_units_at_neighbouring_times_that_help_it() -> None:
    responses = np.zeros((8, 6))  # two atoms with three times each: units 0, 1, 2 and 3, 4, 5
    responses[[0, 1], 0] = 0.9  # half of the class does atom 0 first,
    responses[[2, 3], 4] = 0.8  # and half atom 1 in the middle
    responses[[2, 3], 5] = 0.9  # or late, which is no neighbour of first
    responses[:4, 1] = 0.1
    miner = ClassMiner(responses, OWN, MINING)
    ors = miner.ors(range(6), anchors=3)
    assert ((0, 4),) in ors
    assert ((0, 5),) not in ors
    assert ((0,),) in ors
    assert miner.best(ors, 1) == [((0, 4),)]


def test_longer_phrases_join_two_that_differ_in_one_or_and_share_no_unit() -> None:
    miner = ClassMiner(np.zeros((8, 6)), OWN, MINING)
    assert miner.longer([((0,),), ((1, 2),), ((0, 3),)]) == [((0,), (1, 2)), ((0, 3), (1, 2))]
    assert miner.longer([((0,), (1,)), ((1,), (2,)), ((4,), (5,))]) == [((0,), (1,), (2,))]


def test_a_class_gets_phrases_that_cover_videos_no_other_covers() -> None:
    responses = np.zeros((8, 3))
    responses[[0, 1, 2], 0] = 0.9
    responses[[0, 1], 1] = 0.8
    responses[[3], 2] = 0.1
    responses[4:, 1:] = 0.05  # of other classes, so that equal zeros hold nothing
    responses[4, 0] = 0.05
    miner = ClassMiner(responses, OWN, MINING)
    assert miner.covering([((0,),), ((1,),), ((2,),)]) == [((0,),), ((2,),)]


def test_mined_phrases_respond_to_their_class_alone() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2
    responses = 0.1 * rng.random((12, 8))
    # Class 0 does atom 0 first and then atom 1; class 1 the other way round. Units are atom * 2 + time.
    responses[np.ix_(labels == 0, [0, 3, 4, 7])] += 0.8
    responses[np.ix_(labels == 1, [1, 2, 5, 6])] += 0.8
    found = mine_phrases(responses, labels, np.repeat([0, 0, 1, 1], 2), 2, Mining(2, 3, 10, 2))
    assert len(found[0]) == 4
    assert [array.shape[1:] for array in found] == [(1, 2), (2, 2), (3, 2)]
    for array in found[:2]:
        values = phrase_responses(responses, array)
        first, second = np.split(values, 2, axis=1)
        assert first[labels == 0].min() > first[labels == 1].max()
        assert second[labels == 1].min() > second[labels == 0].max()
    again = mine_phrases(responses, labels, np.repeat([0, 0, 1, 1], 2), 2, Mining(2, 3, 10, 2))
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))
