"""Guided Grad-CAM of a network's sub-segments (Selvaraju et al., ICCV 2017; paper Fig. 3), computed by captum.

A video's score of a class is the sum of its sub-segments' shares (`stp.models.pyramid.subsegment_maps`), so the maps of
a sub-segment are those of its share, and sub-segments can be explained in batches of any size. Where the score is not
linear in the features, the shares are those of its gradient.
"""

import copy
import warnings
from typing import Any

import torch
from captum.attr import GuidedBackprop, LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from stp.errors import UserError
from stp.models.pyramid import TemporalPyramidNetwork, subsegment_maps
from stp.models.segment_network import SegmentNetwork


class Unexplainable(UserError):
    """The backbone is of a kind that guided Grad-CAM cannot explain."""


# Names of torch's and timm's classes; gates (sigmoids) are none.
# fmt: off
RECTIFIERS = frozenset({
    "ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "GELUTanh", "QuickGELU", "SiLU", "Swish",
    "Mish", "HardMish", "Hardswish", "HardSwish",
})
# fmt: on


class GuidedRectifier(nn.ReLU):
    """Another rectifier as a subclass of ReLU, the only class through which captum guides gradients."""

    def __init__(self, rectifier: nn.Module) -> None:
        super().__init__()
        self.rectifier = rectifier

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.rectifier(input)
        return output


def guidable(backbone: nn.Module) -> nn.Module:
    """A copy with the same results in which captum can guide every rectifier and no module works in place.

    Raises:
        Unexplainable: the network has no rectifier module.
    """
    backbone = copy.deepcopy(backbone).requires_grad_(False)
    rectifiers = [(n, m) for n, m in backbone.named_modules() if type(m).__name__ in RECTIFIERS]
    if not rectifiers:
        raise Unexplainable("guided Grad-CAM needs a backbone with rectifiers such as ReLU; this one has none")
    for module in backbone.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010
    for name, rectifier in rectifiers:
        if not isinstance(rectifier, nn.ReLU):
            backbone.set_submodule(name, GuidedRectifier(rectifier))
    return backbone


@torch.no_grad()
def last_maps(backbone: nn.Module, images: Tensor) -> nn.Module:
    """The last module of the network whose output is square maps with several places, (B, C, h, w) or (B, C, t, h, w).

    These are pooled next.

    Raises:
        Unexplainable: there is no such module.
    """
    found: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        is_maps = isinstance(output, Tensor) and output.dim() in (4, 5) and len(output) == len(images)
        if is_maps and output.shape[-2] == output.shape[-1] > 1:
            found.append(module)

    hooks = [module.register_forward_hook(note) for module in backbone.modules()]
    try:
        backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise Unexplainable(
            "Grad-CAM needs maps of several places for each image; take a convolutional backbone or a larger input_size"
        )
    return found[-1]


def share_weights(network: TemporalPyramidNetwork, places: Tensor, target: int) -> Tensor:
    """Weights (n, D) float32 of the features of n distinct sub-segments in a class's video score.

    `places` (segments, K) int64 are the numbers of the sub-segments of each segment. The products of weights and
    features, and the classifier's bias, sum to the score.
    """
    segments, subsegments = places.shape
    maps = subsegment_maps(network.classifier.weight.detach(), subsegments, network.parts)[:, target] / segments
    weights = maps.new_zeros(int(places.max()) + 1, maps.shape[-1])
    return weights.index_add_(0, places.reshape(-1), maps.repeat(segments, 1))


@torch.enable_grad()
def gradient_weights(network: SegmentNetwork, features: Tensor, places: Tensor, target: int) -> Tensor:
    """Gradient (n, D) of a class's video score by the features (n, D) of the distinct sub-segments.

    `places` are as for `share_weights`; where the score is linear in the features, the weights are the same.
    """
    features = features.detach().clone().requires_grad_()
    score = network.segment_scores(features, places)[:, target].mean()
    return torch.autograd.grad(score, features)[0]


class Shares(nn.Module):
    """Shares (m,) of a class's score: images (m, C, H, W) of sub-segments, and their `share_weights` (m, D)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        return (self.backbone(images) * weights).sum(1)


def guided_grad_cam(backbone: nn.Module, layer: nn.Module, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the places in sub-segments that raise a class's score.

    Args:
        backbone: as returned by `guidable`.
        layer: the backbone's module whose maps are weighted (`last_maps`).
        images: those of the sub-segments, (m, C, size, size) float32.
        weights: those of the sub-segments (`share_weights`), (m, D).

    Returns:
        Grad-CAM, interpolated to the images' size (of a volume, its mean over time), and guided Grad-CAM, which is its
        product with guided back-propagation, as a norm over the channels: (m, size, size) float32 each, never negative.
    """
    shares = Shares(backbone)
    images = images.detach().clone().requires_grad_()
    maps: Any = LayerGradCam(shares, layer)
    heat = maps.attribute(images, additional_forward_args=weights, relu_attributions=True).detach()
    if heat.dim() == 5:  # of a volume
        heat = heat.mean(2)
    heat = F.interpolate(heat, images.shape[2:], mode="bilinear", align_corners=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum announces its hooks
        gradients: Any = GuidedBackprop(shares).attribute(images, additional_forward_args=weights)
    return heat[:, 0], (gradients.detach() * heat).norm(dim=1)
