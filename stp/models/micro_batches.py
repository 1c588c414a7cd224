"""Features of a mini-batch and their gradients, a few images at a time, for GPUs that cannot hold all of its maps.

Only the input of each micro-batch is kept. Its maps are computed again when its gradients are added up, which takes a
third more time. One batch norm, the first, may use batch statistics (partial batch norm, TSN), so the network runs on
the whole mini-batch up to there.

The run up to there is ended by an exception, as torch ends the repeated passes of its checkpoints. torch.fx would cut
the network without one, but cannot trace BN-Inception, EfficientNet-Lite0 and others that check or pad their input.

Dropout inside the network, as in C3D and VGG, draws its masks for each micro-batch, so that they are others than those
of a whole mini-batch. Maps that are computed again have the masks that they had before.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stp.errors import UserError
from stp.models.batch_norm import BatchNorm


class _StoredOutput(nn.Module):
    """A stand-in for a module: returns an output that the module has computed before, whatever its input is."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, _: Tensor) -> Tensor:
        return self.output.clone()  # the next module may change it in place


class _ForwardPassEnded(Exception):
    """The forward pass has reached the wanted module, whose output this carries."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


@contextmanager
def _replaced(network: nn.Module, name: str, module: nn.Module) -> Iterator[None]:
    """Within the block, `module` stands in for the network's submodule `name`."""
    original = network.get_submodule(name)
    network.set_submodule(name, module)
    try:
        yield
    finally:
        network.set_submodule(name, original)


def _output_of(network: nn.Module, name: str, images: Tensor) -> Tensor:
    """The output of the submodule `name` for `images`; what follows it in the network does not run."""

    def end_forward_pass(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        raise _ForwardPassEnded(output)

    hook = network.get_submodule(name).register_forward_hook(end_forward_pass)
    try:
        network(images)
    except _ForwardPassEnded as ended:
        return ended.output
    finally:
        hook.remove()
    raise RuntimeError(f"the network's forward pass does not use its module '{name}'")


def learning_norms(backbone: nn.Module) -> list[str]:
    """The name of the batch norm that uses batch statistics, if there is one; UserError if there are several."""
    norms = [name for name, module in backbone.named_modules() if isinstance(module, BatchNorm)]
    if len(norms) > 1:
        raise UserError(
            "compute.micro_batch_videos: only one batch norm may learn from the batch, or results would change; "
            "set training.partial_bn: true, or compute.micro_batch_videos: 0"
        )
    return norms


def micro_batch_features(backbone: nn.Module, images: Tensor, size: int) -> Tensor:
    """Features (B, D) of images (B, C, H, W), computed from at most `size` images at a time.

    They, their gradients and the running statistics are those of the whole batch, but for rounding, and for the masks
    of dropout inside the backbone.

    Raises:
        UserError: several batch norms use batch statistics, and those after the first would see a micro-batch only.
    """
    norms = learning_norms(backbone)
    if not norms:
        return torch.cat([checkpoint(backbone, part, use_reentrant=False) for part in images.split(size)])

    def features_from(part: Tensor, normalised: Tensor) -> Tensor:
        with _replaced(backbone, norms[0], _StoredOutput(normalised)):
            features: Tensor = backbone(part)
        return features

    normalised = _output_of(backbone, norms[0], images)
    rows = len(normalised) // len(images)  # maps of an image: several if it is a stack of frames
    parts = zip(images.split(size), normalised.split(size * rows), strict=True)
    return torch.cat([checkpoint(features_from, *part, use_reentrant=False) for part in parts])
