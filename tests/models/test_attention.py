"""TAN: attention sums to one, is fair to equal postures, and finds the posture that tells the class."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import tan
from stp.models.attention import TemporalAttention, TemporalAttentiveNetwork
from stp.training.run import Run
from tests.runs import assert_pieces_give_what_the_whole_batch_gives

TINY = {
    **{"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False},
    **{"rgb": {"dropout": 0.0}, "postures": 4, "flow_fields": 2, "shared_width": 12, "lstm_width": 10},
}


def run_of(options: dict[str, object], run_input: str = "rgb+of") -> Run:
    return tan.METHOD.run(RunName(run_input, "tan", 1), "tan", ("a", "b", "c"), options)


def built(**options: object) -> TemporalAttentiveNetwork:
    torch.manual_seed(0)
    network = tan.build(run_of(TINY | options))
    for classifier in (network.classifier, network.appearance, network.motion):
        nn.init.normal_(classifier.weight)
    return network


def videos(number: int) -> Tensor:
    return 255 * torch.rand(number, 1, 4, 7, 32, 32, generator=torch.Generator().manual_seed(number))


def test_attention_sums_to_one_and_differs_between_postures() -> None:
    torch.manual_seed(0)
    attention = TemporalAttention(12, 10)
    weights = attention(5 * torch.rand(3, 2, 6, 12))
    assert weights.shape == (3, 2, 6)
    assert (weights > 0).all()
    assert torch.allclose(weights.sum(-1), torch.ones(3, 2), rtol=0, atol=1e-6)
    assert weights.std(-1).min() > 0.001


def test_equal_postures_weigh_equally_wherever_they_stand() -> None:
    torch.manual_seed(0)
    attention = TemporalAttention(12, 10)
    weights = attention(torch.rand(1, 1, 12).expand(1, 5, 12))
    assert torch.allclose(weights, torch.full((1, 5), 0.2), rtol=0, atol=1e-6)
    postures = 5 * torch.rand(1, 5, 12)
    postures[:, 3] = postures[:, 0]
    weights = attention(postures)[0]
    assert torch.isclose(weights[0], weights[3], rtol=1e-6)
    assert not torch.isclose(weights[0], weights[1], rtol=1e-3)


def test_attention_is_the_softmax_of_scaled_products_with_the_query_of_the_last_state() -> None:
    torch.manual_seed(0)
    attention = TemporalAttention(4, 3)
    postures = torch.rand(2, 5, 4)
    with torch.no_grad():
        _, (last, _) = attention.lstm(postures)
        query = attention.query(last[0]).numpy()
        weights = attention(postures).numpy()
    for video in range(2):
        products = np.array([posture @ query[video] / 2 for posture in postures[video].numpy()])
        np.testing.assert_allclose(weights[video], np.exp(products) / np.exp(products).sum(), rtol=1e-5)


def test_attention_rises_at_the_posture_that_tells_the_class() -> None:
    network, rng = built(), np.random.default_rng(0)
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    common = rng.random(network.num_features)

    def drawn() -> tuple[Tensor, Tensor, Tensor]:
        """Features of 32 videos whose postures are alike but one, its place, and the class that it shows."""
        features = np.tile(common, (32, 4, 1)) + rng.normal(0, 0.1, (32, 4, network.num_features))
        places, labels = rng.integers(0, 4, 32), rng.integers(0, 3, 32)
        features[np.arange(32), places] = rng.normal(0, 0.1, (32, network.num_features))
        features[np.arange(32), places, labels] += 3
        return torch.from_numpy(features).float(), torch.from_numpy(places), torch.from_numpy(labels)

    def attention_there() -> float:
        features, places, _ = drawn()
        with torch.no_grad():
            weights = network.attention(network.shared(features).relu())
        return float(weights[torch.arange(32), places].mean())

    assert 0.15 < attention_there() < 0.35
    for _ in range(60):
        features, _, labels = drawn()
        optimiser.zero_grad()
        F.cross_entropy(network.scores(features), labels).backward()
        optimiser.step()
    assert attention_there() > 0.7


def test_the_video_is_the_weighted_sum_of_its_postures_and_each_tower_has_a_head() -> None:
    network = built().eval()
    with torch.no_grad():
        features = network.features(videos(3))
        main, appearance, motion = (head.numpy() for head in network.heads(features))
        scores = network.scores(features).numpy()
        postures = network.shared(features).relu()
        weights = network.attention(postures).numpy()
    width, values = network.backbone.widths[0], features.numpy()
    assert values.shape == (3, 1, 4, 2 * width)

    def linear(layer: nn.Linear, row: np.ndarray) -> np.ndarray:
        expected: np.ndarray = layer.weight.detach().numpy() @ row + layer.bias.detach().numpy()
        return expected

    for video in range(3):
        summed = sum(weights[video, 0, k] * postures[video, 0, k].numpy() for k in range(4))
        np.testing.assert_allclose(scores[video, 0], linear(network.classifier, summed), rtol=1e-4, atol=1e-5)
        mean = values[video, 0].mean(0)
        np.testing.assert_allclose(appearance[video, 0], linear(network.appearance, mean[:width]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(motion[video, 0], linear(network.motion, mean[width:]), rtol=1e-4, atol=1e-5)
    assert np.array_equal(main, scores)


def test_each_tower_sees_its_own_channels() -> None:
    backbone = built().eval().backbone
    seen = videos(2)[:, 0, 0]
    with torch.no_grad():
        expected = torch.cat([backbone.appearance(seen[:, :3]), backbone.motion(seen[:, 3:])], 1)
        assert torch.equal(backbone(seen), expected)


def test_micro_batches_give_the_features_and_gradients_of_the_whole_batch() -> None:
    assert_pieces_give_what_the_whole_batch_gives(lambda: built(partial_bn=True), videos(5), 1e-3)
    with pytest.raises(UserError, match=r"^compute.micro_batch_videos: .* set training.partial_bn: true"):
        built().train().features(videos(3), 1)


def test_a_sample_is_a_posture_in_each_division_of_the_video() -> None:
    chosen = tan.sampler(run_of({}))
    drawn = chosen.draw(80, np.random.default_rng(0))
    assert drawn.shape == (8, 6)
    for number, posture in enumerate(drawn):
        assert number * 76 // 8 <= posture[1] < (number + 1) * 76 // 8  # 76 stacks of 5 begin in 80 fields
        assert posture[1:].tolist() == list(range(posture[1], posture[1] + 5))
        assert posture[0] == posture[3], "the frame is the middle of its flow"


def test_options_and_inputs_that_do_not_suit_are_one_line() -> None:
    with pytest.raises(UserError, match=r"^config: option postures: 0 is not allowed; allowed: 1 to 1000$"):
        run_of({"postures": 0})
    with pytest.raises(UserError, match=r"'of' is not RGB and flow together"):
        tan.METHOD.check(run_of({}, "of"))
