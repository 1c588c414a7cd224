"""The pyramid over a whole video: maxima by hand, which images its parts hold, and what is dropped and joined."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from stp.models.video_pyramid import JoinedEncodings, VideoPyramidNetwork, max_pyramid


class Passed(nn.Module):
    """A backbone whose features are the means of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = channels

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def test_three_frames_are_pooled_as_by_hand() -> None:
    frames = torch.tensor([[1.0, -5.0], [4.0, -6.0], [2.0, -4.0]])
    whole, first_two, last = [4.0, -4.0], [4.0, -5.0], [2.0, -4.0]
    assert max_pyramid(frames, (1, 2)).tolist() == whole + first_two + last
    assert max_pyramid(frames, (3,)).tolist() == frames.flatten().tolist()


@given(images=st.integers(4, 40), levels=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_parts_are_in_order_and_of_nearly_equal_size(images: int, levels: list[int]) -> None:
    # The features are the images' numbers and their negatives, so that maxima are a part's last and first image.
    numbers = torch.arange(images, dtype=torch.float32)
    pooled = max_pyramid(torch.stack([numbers, -numbers], 1), levels).unflatten(0, (-1, 2)).int().tolist()
    expected = []
    for level in levels:
        for part in np.array_split(np.arange(images), level):
            expected.append([part[-1], -part[0]])
    assert pooled == expected


def test_25_images_in_four_parts() -> None:
    ends = max_pyramid(torch.arange(25.0)[:, None], (4,)).int().tolist()
    assert np.diff([-1, *ends]).tolist() == [7, 6, 6, 6]


def test_scores_are_a_linear_map_of_the_pooled_features() -> None:
    torch.manual_seed(0)
    network = VideoPyramidNetwork(Passed(3), (1, 2), 4, dropout=0.5).eval()
    nn.init.normal_(network.classifier.weight)
    images = torch.rand(2, 1, 5, 3, 4, 4)
    features = images.mean((4, 5))[:, 0].numpy()
    for video in range(2):
        pooled = [features[video].max(0), features[video, :3].max(0), features[video, 3:].max(0)]
        expected = network.classifier.weight.detach().numpy() @ np.concatenate(pooled)
        np.testing.assert_allclose(network(images)[video, 0].detach().numpy(), expected, atol=1e-6)


def test_dropout_comes_after_the_pyramid() -> None:
    torch.manual_seed(0)
    network = VideoPyramidNetwork(Passed(200), (1,), 2, dropout=0.5).train()
    seen: list[Tensor] = []
    network.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(torch.ones(1, 1, 8, 200, 2, 2))
    # Dropped before the maxima of 8 images, nearly all of them would survive.
    assert set(seen[0].flatten().tolist()) == {0.0, 2.0}
    assert 60 < int((seen[0] == 0).sum()) < 140


def test_each_modality_has_its_own_backbone_and_encoding() -> None:
    torch.manual_seed(0)
    joined = JoinedEncodings([Passed(3), Passed(10)], [3, 10], width=6)
    images = torch.randn(4, 13, 5, 5)
    found = joined(images).detach().numpy()
    assert found.shape == (4, 12)
    means = images.mean((2, 3)).numpy()
    for modality, (first, last) in enumerate([(0, 3), (3, 13)]):
        weight, bias = (joined.encodings[modality].get_parameter(f"0.{name}").detach() for name in ("weight", "bias"))
        encoded = means[:, first:last] @ weight.numpy().T + bias.numpy()
        np.testing.assert_allclose(found[:, 6 * modality : 6 * modality + 6], np.maximum(encoded, 0), atol=1e-6)
    assert (found == 0).any()
