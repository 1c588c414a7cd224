"""Temporal relations: how many there are, in which order their frames are, which are drawn, and what they add up to."""

from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from stp.models.temporal_relations import TemporalRelationNetwork, chosen_relations


class Passed(nn.Module):
    """A backbone whose features are the means of the channels."""

    num_features = 3

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def network_of(images: int, classes: int = 2) -> TemporalRelationNetwork:
    torch.manual_seed(0)
    network = TemporalRelationNetwork(Passed(), images, classes, dropout=0, width=4, subsample=3)
    nn.init.normal_(network.reduced.weight)
    return network


@pytest.mark.parametrize("training", [True, False])
def test_eight_frames_have_three_relations_of_each_number_and_one_of_all(training: bool) -> None:
    network = network_of(8).train(training)
    seen: dict[int, int] = {}
    for module in network.relations:
        linear = module.get_submodule("1")
        linear.register_forward_pre_hook(
            lambda module, inputs: seen.update({inputs[0].shape[-1] // 4: seen.get(inputs[0].shape[-1] // 4, 0) + 1})
        )
    network.scores(torch.rand(8, 3))
    assert seen == {8: 1, 7: 3, 6: 3, 5: 3, 4: 3, 3: 3, 2: 3}


@given(images=st.integers(2, 9), scale=st.integers(2, 9), most=st.integers(1, 200), at_random=st.booleans())
def test_relations_are_different_and_in_the_order_of_time(images: int, scale: int, most: int, at_random: bool) -> None:
    scale = min(scale, images)
    relations = chosen_relations(images, scale, most, at_random)
    assert len(set(relations)) == len(relations) <= most
    for frames in relations:
        assert len(frames) == scale
        assert all(0 <= first < second < images for first, second in pairwise(frames))
    assert len(relations) == min(most, comb(images, scale))


@pytest.mark.parametrize("at_random", [False, True])
def test_all_relations_are_chosen_where_there_are_no_more_than_asked(at_random: bool) -> None:
    assert set(chosen_relations(9, 4, 126, at_random)) == set(combinations(range(9), 4))


def test_pairs_of_three_frames() -> None:
    assert chosen_relations(3, 2, 3, False) == [(0, 1), (0, 2), (1, 2)]
    assert chosen_relations(3, 2, 1, False) == [(0, 2)]
    assert chosen_relations(3, 3, 3, False) == [(0, 1, 2)]


def test_every_relation_is_drawn_by_torchs_generator() -> None:
    torch.manual_seed(0)
    first = [chosen_relations(5, 2, 3, True) for _ in range(100)]
    assert {pair for chosen in first for pair in chosen} == set(chosen_relations(5, 2, 10, False))
    torch.manual_seed(0)
    assert [chosen_relations(5, 2, 3, True) for _ in range(100)] == first


def test_scores_are_the_sum_over_relations_and_repeat() -> None:
    network = network_of(3).eval()
    features = torch.randn(2, 3, 3)  # 2 videos of 3 frames
    narrow = features @ network.reduced.weight.T + network.reduced.bias
    three, two = network.relations
    expected = three(narrow.reshape(2, 12))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        expected = expected + two(torch.cat([narrow[:, first], narrow[:, second]], 1))
    assert torch.allclose(network.scores(features), expected, atol=1e-6)
    assert torch.equal(network.scores(features), network.scores(features))


def test_a_network_that_sees_nothing_but_order_tells_a_sequence_from_its_reverse() -> None:
    """Both classes have the same frames: in one they brighten, in the other they darken."""
    network = network_of(4)
    rng = np.random.default_rng(0)
    rising = torch.from_numpy(np.sort(rng.random((20, 4)), axis=1).astype(np.float32))[:, None, :, None].repeat(
        1, 1, 1, 3
    )
    sequences, labels = torch.cat([rising, rising.flip(2)]), torch.arange(2).repeat_interleave(20)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network.scores(sequences)[:, 0], labels).backward()
        optimiser.step()
    predicted = network.eval().scores(sequences)[:, 0].argmax(1)
    assert torch.equal(predicted, labels)
