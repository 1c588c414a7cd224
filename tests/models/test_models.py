"""BN-Inception, weights in the public form, the pyramid and its linear identity."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stp.errors import UserError
from stp.methods import pyramid
from stp.models.backbones import build_backbone, weights_report
from stp.models.batch_norm import FrozenBatchNorm, freeze_batch_norms
from stp.models.bninception import BNInception
from stp.models.convnet import ConvNet
from stp.models.micro_batches import micro_batch_features
from stp.models.pyramid import TemporalPyramidNetwork, pyramid_features, subsegment_maps
from stp.training.loop import parameter_groups
from tests.runs import make_run


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("classes", "parameters"), [(7, 10_277_415), (1000, 11_295_240)])
def test_bninception_has_the_published_number_of_parameters(classes: int, parameters: int) -> None:
    network = BNInception()
    assert count(network) + count(nn.Linear(network.num_features, classes)) == parameters
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 69
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 69


@pytest.mark.parametrize(("width", "channels", "size"), [(1.0, 3, 64), (0.25, 10, 96)])
def test_bninception_features(width: float, channels: int, size: int) -> None:
    features = BNInception(channels, width).eval()(torch.randn(2, channels, size, size))
    assert features.shape == (2, 1024 * width)


def test_bninception_refuses_sizes_that_do_not_halve() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        BNInception(3, 0.125)(torch.zeros(1, 3, 100, 100))


def public_file(path: Path, network: BNInception) -> Path:
    """The network's weights in the form of the public file: batch norms (1, C), a classifier, no counters."""
    state = {}
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        state[key] = value[None] if "_bn." in key else value
    state["last_linear.weight"] = torch.zeros(1000, 1024)
    state["last_linear.bias"] = torch.zeros(1000)
    torch.save(state, path)
    return path


def test_public_bninception_file_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = BNInception()
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.9, 1.1)
    path = public_file(tmp_path / "bn_inception.pth", source)
    backbone = build_backbone("bninception", 3, False, str(path))
    images = torch.randint(0, 256, (1, 3, 64, 64)).float()
    bgr_mean = torch.tensor([104.0, 117.0, 128.0]).view(1, 3, 1, 1)
    expected = source.eval()(images.flip(1) - bgr_mean)
    assert torch.equal(backbone.eval()(images), expected)


def test_weights_report_of_a_public_bninception_file(tmp_path: Path) -> None:
    path = public_file(tmp_path / "bn_inception.pth", BNInception())
    report = weights_report("bninception", str(path), 1.0, 64)
    assert report["file"] == str(path)
    assert report["tensors_loaded"] == 69 * 2 + 69 * 4
    assert report["tensors_left_out"] == ["last_linear.weight", "last_linear.bias"]
    assert report["parameters"] == 11_295_240 - 1000 * 1025


def test_weights_that_do_not_fit_give_one_line(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "wrong.pth")
    with pytest.raises(UserError, match=r"does not fit the network") as caught:
        build_backbone("bninception", 3, False, str(tmp_path / "wrong.pth"))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="does not exist"):
        build_backbone("bninception", 3, False, str(tmp_path / "absent.pth"))


def test_imagenet_bninception_says_which_file_goes_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"bn_inception-52deb4733.pth at '.*checkpoints"):
        build_backbone("bninception", 3, False, "imagenet")
    (tmp_path / "checkpoints").mkdir()
    public_file(tmp_path / "checkpoints" / "bn_inception-52deb4733.pth", BNInception())
    with pytest.raises(UserError, match="sha256"):
        build_backbone("bninception", 3, False, "imagenet")


def test_packaged_lite0_weights_load() -> None:
    backbone = build_backbone("efficientnet_lite0", 3, False, "imagenet").eval()
    assert backbone.num_features == 1280
    norm = next(m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.get_buffer("running_var").std() > 0  # a fresh network has ones


def test_weights_report_tells_files_apart() -> None:
    imagenet = weights_report("efficientnet_lite0", "imagenet", 1.0)
    assert imagenet["parameters"] == 4_652_008 - 1000 * 1281  # published, without the classifier
    assert imagenet == weights_report("efficientnet_lite0", "imagenet", 1.0)
    assert imagenet["sha256"] != weights_report("efficientnet_lite0", "none", 1.0)["sha256"]


def test_cross_modality_initialisation_repeats_the_mean_kernel() -> None:
    rgb = build_backbone("efficientnet_lite0", 3, False, "imagenet")
    flow = build_backbone("efficientnet_lite0", 10, True, "imagenet")
    kernel, inflated = (next(m for m in b.modules() if isinstance(m, nn.Conv2d)).weight for b in (rgb, flow))
    assert inflated.shape[1] == 10
    assert torch.allclose(inflated, kernel.mean(1, keepdim=True).expand_as(inflated))
    assert flow.eval()(torch.full((1, 10, 64, 64), 128.0)).isfinite().all()


def test_timm_names_work_and_unknown_ones_are_refused() -> None:
    backbone = build_backbone("test_resnet", 10, True, "none").eval()
    assert backbone(torch.zeros(2, 10, 64, 64)).shape == (2, backbone.num_features)
    with pytest.raises(UserError, match=r"model.backbone: 'resnet_of_mine' is unknown"):
        build_backbone("resnet_of_mine", 3, False)


def test_partial_batch_norm_freezes_all_but_the_first_exactly() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("bninception", 3, False, "none", 0.125)
    images = torch.randint(0, 256, (4, 3, 64, 64)).float()
    expected = backbone.eval()(images)
    keys = [key for key in backbone.state_dict() if "conv1_7x7_s2" in key or not key.endswith("num_batches_tracked")]
    freeze_batch_norms(backbone)
    assert list(backbone.state_dict()) == keys
    assert torch.allclose(backbone.eval()(images), expected, rtol=1e-4, atol=1e-5)
    left = [name for name, m in backbone.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert left == ["network.conv1_7x7_s2_bn"]
    trained = {name for name, parameter in backbone.named_parameters() if "_bn." in name}
    assert trained == {"network.conv1_7x7_s2_bn.weight", "network.conv1_7x7_s2_bn.bias"}


def test_a_frozen_norm_is_the_one_that_is_loaded() -> None:
    torch.manual_seed(0)
    norm = shaken(nn.BatchNorm2d(3)).eval()
    frozen = FrozenBatchNorm(nn.BatchNorm2d(3))
    frozen.load_state_dict({name: value for name, value in norm.state_dict().items() if "num_batches" not in name})
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(copy.deepcopy(frozen)(images), norm(images))


def shaken(network: nn.Module) -> nn.Module:
    """The network with batch norms that are far from the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


@pytest.mark.parametrize("is_flow", [False, True])
@pytest.mark.parametrize("name", ["bninception", "convnet"])
def test_images_normalised_before_give_the_same_bits(name: str, is_flow: bool) -> None:
    """In bfloat16 the first convolution rounds its input, as whoever made the images has done before."""
    torch.manual_seed(0)
    backbone = build_backbone(name, 4 if is_flow else 3, is_flow, width=0.125).eval()
    images = 255 * torch.rand(2, 4 if is_flow else 3, 64, 64)
    mean, std, bgr = backbone.normalisation
    assert bgr == (name == "bninception" and not is_flow)
    normalised = (images - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    normalised = normalised.flip(1) if bgr else normalised
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(backbone(normalised.bfloat16()), backbone(images))


@pytest.mark.parametrize("partial", [True, False])
def test_folded_batch_norms_change_nothing_but_rounding(partial: bool) -> None:
    torch.manual_seed(0)
    network = BNInception(3, 0.125).double()
    shaken(network)
    if partial:
        freeze_batch_norms(network)
    images = torch.randn(2, 3, 64, 64).double()
    expected = network.eval()(images)
    convolution = network.get_submodule("conv2_3x3")
    norm = network.get_submodule("conv2_3x3_bn")
    if isinstance(norm, FrozenBatchNorm):
        assert partial
        assert isinstance(convolution, nn.Conv2d)
        maps = torch.randn(2, convolution.in_channels, 8, 8).double()
        folded = nn.functional.conv2d(maps, *norm.folded(convolution), convolution.stride, convolution.padding)
        torch.testing.assert_close(folded, norm.forward(convolution(maps)))
    network.fold_norms()
    assert not any(isinstance(module, (nn.BatchNorm2d, FrozenBatchNorm)) for module in network.modules())
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("name", ["bninception", "test_resnet", "test_vit"])
def test_micro_batches_give_the_gradients_and_statistics_of_the_whole_batch(name: str) -> None:
    def trained(most: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        size = 160 if name == "test_vit" else 64
        backbone = shaken(build_backbone(name, 3, False, "none", 0.125 if name == "bninception" else 1.0)).double()
        freeze_batch_norms(backbone)
        images = torch.randint(0, 256, (5, 3, size, size)).double()
        features = micro_batch_features(backbone.train(), images, most) if most else backbone.train()(images)
        (features**2).sum().backward()
        buffers = {key: value.double() for key, value in backbone.named_buffers()}
        gradients = {key: p.grad for key, p in backbone.named_parameters() if p.grad is not None}
        return {"features": features.detach()} | buffers | gradients

    whole = trained(0)
    for most in (2, 5):
        parts = trained(most)
        assert parts.keys() == whole.keys()
        for key, expected in whole.items():
            assert torch.allclose(parts[key], expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item()), key


def test_the_small_network_trains_on_a_single_image() -> None:
    """One image has no deviation to normalise by: the last batch norm then takes its running statistics."""
    network, images = ConvNet(), 128 + 50 * torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert network(images).mean(0).abs().max() < 1e-4  # of a batch, features have the mean 0
    features = network(images[:1])
    assert features.shape == (1, 96)
    features.sum().backward()
    assert torch.isfinite(features).all()


def test_micro_batches_need_frozen_batch_norms() -> None:
    backbone = build_backbone("convnet", 3, False)
    with pytest.raises(
        UserError, match=r"compute.micro_batch_videos: only one batch norm .* training.partial_bn: true"
    ):
        micro_batch_features(backbone, torch.zeros(4, 3, 32, 32), 2)


def test_pyramid_features_by_hand() -> None:
    features = torch.tensor([[1.0], [2.0], [3.0], [6.0]])  # K = 4 sub-segments of one feature
    assert pyramid_features(features, (1, 2, 4)).tolist() == [3.0, 1.5, 4.5, 1.0, 2.0, 3.0, 6.0]


@settings(deadline=None)
@given(levels=st.integers(1, 4), repeat=st.integers(1, 2), seed=st.integers(0, 1000))
def test_pyramid_head_is_one_linear_map_a_subsegment(levels: int, repeat: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = tuple(2**level for level in range(levels))
    subsegments = repeat * max(4, parts[-1])
    features = torch.randn(3, subsegments, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, sum(parts) * 6, generator=generator, dtype=torch.float64)
    direct = pyramid_features(features, parts) @ weight.T
    mapped = torch.einsum("nkd,kcd->nc", features, subsegment_maps(weight, subsegments, parts))
    assert torch.allclose(direct, mapped)


@pytest.mark.parametrize("name", ["baseline", "1-level", "3-level", "4-level"])
def test_network_shapes(name: str) -> None:
    run = make_run(f"of/{name}/fold1/seed0", tuple("abcdefg"), backbone="convnet", weights="none", input_size=32)
    network, sampler = pyramid.build(run), pyramid.sampler(run)
    images = torch.zeros(2, sampler.segments, sampler.subsegments, 10, 32, 32)
    assert network(images).shape == (2, sampler.segments, 7)
    assert network.classifier.in_features == 96 * sum(pyramid.parts(run))


def test_one_level_ignores_the_order_of_subsegments_and_three_levels_do_not() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 4, 96)
    for parts, same in (((1,), True), ((1, 2, 4), False)):
        network = TemporalPyramidNetwork(build_backbone("convnet", 3, False), parts, 7, 0.5)
        swapped = network.scores(features.flip(1))
        assert torch.allclose(network.scores(features), swapped, atol=1e-6) is same


def test_parameter_groups_have_tsns_multipliers() -> None:
    network = TemporalPyramidNetwork(build_backbone("bninception", 10, True, "none", 0.125), (1,), 7, 0.5)
    freeze_batch_norms(network.backbone)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rates = {
        names[id(parameter)].removeprefix("backbone.network."): (group["lr"], group["weight_decay"])
        for group in parameter_groups(network, 1.0, 0.5, is_flow=True)
        for parameter in group["params"]
    }
    assert set(rates) == {name.removeprefix("backbone.network.") for name in names.values()}
    assert rates["conv1_7x7_s2.weight"] == (5, 0.5)
    assert rates["conv1_7x7_s2.bias"] == (10, 0)
    assert rates["conv2_3x3.weight"] == (1, 0.5)
    assert rates["conv2_3x3.bias"] == (2, 0)
    assert rates["conv1_7x7_s2_bn.weight"] == (1, 0)
    assert rates["conv1_7x7_s2_bn.bias"] == (1, 0)
    assert rates["classifier.bias"] == (2, 0)
