"""Features of a mini-batch, and their gradients, a few images at a time: for GPUs that cannot hold all of its maps.

Only the input of each micro-batch is kept; its maps are computed again when its gradients are added up, which costs a
third more time. The first batch norm is the one that uses batch statistics (partial batch norm, TSN), so the network up
to there sees the mini-batch as a whole.

A hook ends the forward pass at that batch norm. Cutting the network there by tracing it (torch.fx, as torchvision's
`create_feature_extractor`) was tried and fails on BN-Inception, EfficientNet-Lite0, VGG and others.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stp.errors import UserError


class _Given(nn.Module):
    """Takes a module's place and gives what that has given before."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, _: Tensor) -> Tensor:
        return self.output.clone()  # what follows may change it in place


class _NormReached(Exception):
    """A forward pass has come as far as it was wanted."""


@contextmanager
def _replaced(network: nn.Module, name: str, module: nn.Module) -> Iterator[None]:
    original = network.get_submodule(name)
    network.set_submodule(name, module)
    try:
        yield
    finally:
        network.set_submodule(name, original)


def _output_of(network: nn.Module, name: str, images: Tensor) -> Tensor:
    """What the submodule `name` gives when `images` pass; the rest of the network does not run."""
    outputs: list[Tensor] = []

    def stop(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)
        raise _NormReached

    hook = network.get_submodule(name).register_forward_hook(stop)
    try:
        network(images)
    except _NormReached:
        pass
    finally:
        hook.remove()
    return outputs[0]


def micro_batch_features(backbone: nn.Module, images: Tensor, most: int) -> Tensor:
    """Features (B, D) of images (B, C, H, W), at most `most` of which are held at once.

    Raises:
        UserError: more than one batch norm uses batch statistics, which would be those of a micro-batch.
    """
    norms = [name for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)]
    if len(norms) > 1:
        raise UserError(
            "compute.micro_batch_videos: only one batch norm may learn from the batch, or results would change; "
            "set training.partial_bn: true, or compute.micro_batch_videos: 0"
        )
    if not norms:
        return torch.cat([checkpoint(backbone, part, use_reentrant=False) for part in images.split(most)])

    def rest(part: Tensor, normalised: Tensor) -> Tensor:
        with _replaced(backbone, norms[0], _Given(normalised)):
            features: Tensor = backbone(part)
        return features

    normalised = _output_of(backbone, norms[0], images)
    parts = zip(images.split(most), normalised.split(most), strict=True)
    return torch.cat([checkpoint(rest, *part, use_reentrant=False) for part in parts])
