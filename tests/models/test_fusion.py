"""Two-stream fusion: the published shapes, the initial fusion, and where gradients stop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import two_stream_fusion
from stp.models.convnet import ConvNet
from stp.models.fusion import ConvolutionFusion, TwoStreamFusion, gaussian_kernel, pool_in_space_and_time
from stp.training.run import Run
from tests.runs import assert_pieces_give_what_the_whole_batch_gives

TINY: dict[str, Any] = {
    **{"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False},
    **{"rgb": {"dropout": 0.0}, "frames": 3, "flow_fields": 2},
}
CHANNELS = 3 * (3 + 2 * 2)  # of an image of three frames with two fields of flow each


def run_of(options: dict[str, Any], run_input: str = "rgb+of") -> Run:
    name = RunName(run_input, "two_stream_fusion", 1)
    return two_stream_fusion.METHOD.run(name, "two_stream_fusion", ("a", "b", "c"), options)


def built(**options: Any) -> TwoStreamFusion:
    torch.manual_seed(0)
    return two_stream_fusion.build(run_of(TINY | options))


def videos(number: int) -> Tensor:
    return 255 * torch.rand(number, 1, 1, CHANNELS, 32, 32, generator=torch.Generator().manual_seed(number))


def learns(module: nn.Module) -> bool:
    return any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in module.parameters())


def test_with_vgg_16_at_224_the_shapes_are_the_published_ones() -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):  # shapes alone
        network = two_stream_fusion.build(run_of({"backbone": "torchvision/vgg16", "weights": "none"}))

        def note(name: str) -> Any:
            return lambda module, inputs, output: shapes.update({name: tuple(output.shape)})

        backbone = network.backbone
        for name in ("appearance", "motion", "fusion", "fusion_head", "motion_head"):
            backbone.get_submodule(name).register_forward_hook(note(name))
        backbone.fusion_head[0].register_forward_hook(note("pooled"))  # type: ignore[index]
        scores = network(torch.zeros(2, 1, 1, 5 * (3 + 20), 224, 224))
    assert shapes == {
        "appearance": (10, 512, 14, 14),
        "motion": (10, 512, 14, 14),
        "fusion": (2, 512, 5, 14, 14),
        "pooled": (2, 512, 7, 7),
        "fusion_head": (2, 4096),
        "motion_head": (2, 4096),
    }
    assert scores.shape == (2, 1, 3)
    assert tuple(backbone.fusion.weight.shape) == (512, 1024, 3, 3, 3)
    weights = dict(backbone.named_parameters())
    assert weights["motion.backbone.network.features.0.weight"].shape == (64, 20, 3, 3)
    for head in ("fusion_head", "motion_head"):  # fc6 and fc7
        assert weights[f"{head}.2.0.weight"].shape == (4096, 25088)
        assert weights[f"{head}.2.3.weight"].shape == (4096, 4096)


@pytest.mark.parametrize("backbone", ["torchvision/vgg16", "torchvision/vgg16_bn", "vgg16"])
def test_every_dropout_of_a_vgg_has_the_configured_rate(backbone: str) -> None:
    options = {"backbone": backbone, "weights": "none", "input_size": 64, "partial_bn": False, "rgb": {"dropout": 0.85}}
    with torch.device("meta"):
        network = two_stream_fusion.build(run_of(options))
    heads = (network.backbone.fusion_head, network.backbone.motion_head)
    inner = [[m.p for m in head.modules() if isinstance(m, nn.Dropout)] for head in heads]
    assert inner == [[0.85], [0.85]]  # behind fc6
    assert network.dropout.p == 0.85  # behind fc7


def test_the_initial_fusion_is_the_weighted_sum_of_the_towers_smoothed_maps() -> None:
    cube = np.empty((3, 3, 3))
    for place in np.ndindex(3, 3, 3):
        cube[place] = np.exp(-sum((i - 1) ** 2 for i in place) / 2)
    cube /= cube.sum()
    np.testing.assert_allclose(gaussian_kernel().numpy(), cube, rtol=0, atol=1e-7)
    appearance, motion = np.random.default_rng(0).random((2, 2, 4, 5, 6, 7))  # (towers, B, D, T, h, w)
    expected = np.empty((2, 4, 5, 6, 7))
    for image in range(2):
        for number in range(4):
            volume = 0.25 * appearance[image, number] + 0.75 * motion[image, number]
            expected[image, number] = ndimage.convolve(volume, cube, mode="constant")
    maps = torch.from_numpy(np.concatenate([appearance, motion], 1)).float()
    with torch.no_grad():
        fused = ConvolutionFusion(4)(maps)
    np.testing.assert_allclose(fused.numpy(), expected, rtol=0, atol=1e-6)


def test_maps_are_pooled_over_all_frames_and_two_by_two_places() -> None:
    maps = torch.randn(2, 3, 5, 4, 6)
    pooled = pool_in_space_and_time(maps)
    assert pooled.shape == (2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            cell = maps[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(pooled[..., row, column], cell.amax((2, 3, 4)))
    assert torch.equal(pool_in_space_and_time(maps[..., :1, :1]), maps[..., :1, :1].amax(2))


@pytest.mark.parametrize("tower_losses", [True, False])
def test_the_losses_of_fusion_and_motion_stop_at_the_towers(tower_losses: bool) -> None:
    network = built(tower_losses=tower_losses).train()
    backbone = network.backbone
    towers = (backbone.appearance, backbone.motion)
    heads = network.heads(network.features(videos(2)))
    assert len(heads) == (4 if tower_losses else 2)
    (heads[0].sum() + heads[1].sum()).backward(retain_graph=True)
    assert not any(map(learns, towers))
    assert learns(backbone.fusion)
    for number, own, other in ((2, 0, 1), (3, 1, 0)):
        if tower_losses:
            network.zero_grad()
            heads[number].sum().backward(retain_graph=True)
            assert learns(towers[own])
            assert not learns(towers[other])
            assert not learns(backbone.fusion)


def test_towers_without_losses_stay_as_they_are_with_their_statistics() -> None:
    network = built(tower_losses=False).train()
    towers = (network.backbone.appearance, network.backbone.motion)
    before = [{name: value.clone() for name, value in tower.state_dict().items()} for tower in towers]
    optimiser = torch.optim.SGD(network.parameters(), 0.1, weight_decay=0.1)
    old = network.backbone.fusion.weight.detach().clone()
    for _ in range(2):
        optimiser.zero_grad()
        torch.stack([head.square().sum() for head in network.heads(network.features(videos(3)))]).sum().backward()
        optimiser.step()
    for tower, state in zip(towers, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in tower.state_dict().items())
    assert not torch.equal(network.backbone.fusion.weight, old)


def test_the_score_is_the_logarithm_of_the_mean_probability_of_fusion_and_motion() -> None:
    network = built().eval()
    for classifier in network.classifiers:
        nn.init.normal_(classifier.weight)  # type: ignore[arg-type]
    with torch.no_grad():
        features = network.features(videos(3))
        fusion, motion, *towers = (head.double().numpy() for head in network.heads(features))
        scores = network.scores(features).numpy()
    assert len(towers) == 2
    expected = np.empty((3, 1, 3))
    for video in range(3):
        shares = [np.exp(part[video, 0]) / np.exp(part[video, 0]).sum() for part in (fusion, motion)]
        expected[video, 0] = np.log((shares[0] + shares[1]) / 2)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tower_losses", [True, False])
def test_micro_batches_give_the_features_and_gradients_of_the_whole_batch(tower_losses: bool) -> None:
    assert_pieces_give_what_the_whole_batch_gives(
        lambda: built(partial_bn=True, tower_losses=tower_losses), videos(5), 1e-4
    )


def test_micro_batches_are_refused_where_norms_would_see_a_part_of_the_batch() -> None:
    with pytest.raises(UserError, match=r"^compute.micro_batch_videos: .* set training.partial_bn: true"):
        built().train().features(videos(3), 1)


def test_both_towers_start_from_a_file_of_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = ConvNet(3, 0.25)
    torch.save(whole.state_dict(), tmp_path / "own.pth")
    backbone = built(weights=str(tmp_path / "own.pth")).backbone
    first = whole.state_dict()["layers.0.weight"]
    appearance, motion = (
        tower.backbone.network.layers[0].weight  # type: ignore[index, union-attr]
        for tower in (backbone.appearance, backbone.motion)
    )
    assert torch.equal(appearance, first)
    assert torch.equal(motion, first.mean(1, keepdim=True).expand(-1, 4, -1, -1))


def test_options_and_inputs_that_do_not_suit_are_one_line() -> None:
    with pytest.raises(UserError, match=r"^config: option least_distance: 9 is more than most_distance 4; lower it"):
        run_of({"least_distance": 9, "most_distance": 4})
    for run_input in ("rgb", "of+wof", "wof+rgb"):
        with pytest.raises(UserError, match=r"is not RGB and flow together.*allowed are rgb\+of, rgb\+wof"):
            two_stream_fusion.METHOD.check(run_of({}, run_input))
