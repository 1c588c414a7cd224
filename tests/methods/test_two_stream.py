"""Two-stream networks: what a sample is, and the mean flow that is subtracted."""

import numpy as np
import torch
from torch import Tensor, nn

from stp.data.run_name import RunName
from stp.methods import two_stream
from stp.methods.two_stream import MeanFlowSubtracted
from stp.training.run import Run

TINY = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False}


def run_of(run_input: str, **options: object) -> Run:
    return two_stream.METHOD.run(RunName(run_input, "two_stream", 1), "two_stream", ("a", "b"), TINY | options)


class Seen(nn.Module):
    """Keeps what it sees."""

    num_features = 1

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        return torch.zeros(len(images), 1)


def test_the_mean_flow_of_each_field_is_subtracted() -> None:
    images = np.random.default_rng(0).uniform(0, 255, (3, 20, 8, 8)).astype(np.float32)
    backbone = Seen()
    MeanFlowSubtracted(backbone)(torch.from_numpy(images))
    expected = np.empty_like(images)
    for image in range(3):
        for plane in range(20):  # x or y of one of 10 fields
            expected[image, plane] = images[image, plane] - images[image, plane].mean() + 128
    np.testing.assert_allclose(backbone.images.numpy(), expected, rtol=0, atol=1e-4)


def test_only_flow_loses_its_mean_and_only_if_that_is_wanted() -> None:
    for run_input, options, subtracted in (
        ("of", {}, True),
        ("wof", {}, True),
        ("rgb", {}, False),
        ("of", {"subtract_mean_flow": False}, False),
    ):
        torch.manual_seed(0)
        network = two_stream.build(run_of(run_input, **options)).eval()
        images = torch.randint(60, 180, (1, 1, 1, 3 if run_input == "rgb" else 20, 32, 32)).float()
        same = torch.allclose(network(images), network(images + 20), atol=1e-6)
        assert same == subtracted, (run_input, options)
        assert (network.normalisation is None) == subtracted  # it needs values of 0..255


def test_a_flow_sample_is_a_stack_of_10_consecutive_fields() -> None:
    chosen, rng = two_stream.sampler(run_of("of")), np.random.default_rng(0)
    drawn = np.array([chosen.draw(30, rng) for _ in range(500)])
    assert drawn.shape == (500, 1, 10)
    assert (np.diff(drawn, axis=2) == 1).all()
    assert set(drawn[:, 0, 0]) == set(range(21))
    assert set(drawn.ravel()) == set(range(30))


def test_an_rgb_sample_is_one_frame_and_every_frame_can_be_drawn() -> None:
    chosen, rng = two_stream.sampler(run_of("rgb")), np.random.default_rng(0)
    drawn = np.array([chosen.draw(30, rng) for _ in range(500)])
    assert drawn.shape == (500, 1, 1)
    assert set(drawn.ravel()) == set(range(30))


def test_a_scored_clip_is_seen_at_evenly_spread_places() -> None:
    assert two_stream.sampler(run_of("rgb")).spread(30, 3).ravel().tolist() == [5, 15, 25]
    stacks = two_stream.sampler(run_of("of")).spread(30, 3)
    assert stacks[:, 0].tolist() == [list(range(first, first + 10)) for first in (3, 10, 17)]
