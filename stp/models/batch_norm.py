"""Partial batch norm (TSN): all batch norms but the first become fixed affine maps."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BatchNorm = nn.modules.batchnorm._BatchNorm  # of images and of volumes


class FrozenBatchNorm(nn.Module):
    """A batch norm as a fixed affine map, followed by its activation if it has one (timm's BatchNormAct2d).

    (B, C, ...) -> the same shape and dtype. Its tensors are buffers: they have no gradient and ignore the batch. The
    map is computed once, when they are set or loaded.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach().clone())
        self.eps = norm.eps
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())
        for name, value in zip(("scale", "shift"), self._map(), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.register_load_state_dict_post_hook(self._update)

    def _map(self) -> tuple[Tensor, Tensor]:
        """Factor and summand of each channel."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def _update(self, *_: object) -> None:
        self.scale, self.shift = self._map()

    def folded(self, convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Kernel and bias of a convolution that gives what `convolution` and this map give, without the activation."""
        bias = self.shift if convolution.bias is None else torch.addcmul(self.shift, convolution.bias, self.scale)
        return convolution.weight * self.scale.view(-1, 1, 1, 1), bias

    def forward(self, x: Tensor) -> Tensor:
        # Adding in place gives the same bits and saves a pass over the maps.
        channels = (-1, *(1,) * (x.dim() - 2))
        normalised = (x * self.scale.view(channels)).add_(self.shift.view(channels)).to(x.dtype)
        output: Tensor = self.act(self.drop(normalised))
        return output


def freeze_batch_norms(backbone: nn.Module) -> None:
    """Replace all batch norms but the first, in the order of `named_modules`, by frozen ones.

    Keys of the state dict stay the same, without `num_batches_tracked` of the replaced ones.
    """
    norms = [(name, module) for name, module in backbone.named_modules() if isinstance(module, BatchNorm)]
    for name, norm in norms[1:]:
        backbone.set_submodule(name, FrozenBatchNorm(norm))


@torch.no_grad()
def fold_norm(network: nn.Module, convolution: str, norm: str) -> None:
    """Put the batch norm of this name into the convolution before it, for a network in evaluation mode.

    Neither may have been folded before. The batch norm's activation stays.
    """
    before, after = network.get_submodule(convolution), network.get_submodule(norm)
    assert isinstance(before, nn.Conv2d)
    if isinstance(after, FrozenBatchNorm):
        weight, bias = after.folded(before)
        before.weight, before.bias = nn.Parameter(weight), nn.Parameter(bias)
        network.set_submodule(norm, after.act)
    elif isinstance(after, nn.BatchNorm2d):
        network.set_submodule(convolution, fuse_conv_bn_eval(before, after))
        network.set_submodule(norm, nn.Identity())
