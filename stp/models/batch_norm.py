"""Partial batch norm (TSN): all batch norms but the first are fixed, and folded into the convolutions before them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


class FrozenBatchNorm(nn.Module):
    """A batch norm as a fixed affine map, then its activation where it has one (timm's BatchNormAct2d).

    (B, C, H, W) -> the same shape and dtype. Its tensors are buffers: without gradient or batch statistics.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach().clone())
        self.eps = norm.eps
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())
        self.folded = False  # into the convolution before it

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift of the channels, (C,) each."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.folded:
            scale, shift = self.affine()
            x = (x * scale[:, None, None] + shift[:, None, None]).to(x.dtype)
        out: Tensor = self.act(self.drop(x))
        return out


class FoldedConvolution(nn.Conv2d):
    """A convolution that does the frozen batch norm after it, too, which saves a pass over the maps in each direction.

    It is trained and stored as the convolution it was: kernel and bias are scaled whenever they are used.
    """

    norms: tuple[FrozenBatchNorm]  # a tuple, so that the norm is not registered a second time
    pad: Callable[..., Tensor] | None  # of timm's convolutions that pad as TensorFlow does

    @classmethod
    def of(cls, convolution: nn.Conv2d, norm: FrozenBatchNorm) -> "FoldedConvolution":
        folded = cls.__new__(cls)
        folded.__dict__.update(convolution.__dict__)
        folded.norms, folded.pad, norm.folded = (norm,), None, True
        if type(convolution) is not nn.Conv2d:
            from timm.layers import pad_same

            folded.pad = pad_same
        return folded

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.norms[0].affine()
        bias = shift if self.bias is None else self.bias * scale + shift
        if self.pad:
            x = self.pad(x, self.kernel_size, self.stride, self.dilation)
        return self._conv_forward(x, self.weight * scale[:, None, None, None], bias)


def freeze_batch_norms(backbone: nn.Module) -> None:
    """Fix all batch norms but the first."""
    norms = [(name, module) for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for name, norm in norms[1:]:
        backbone.set_submodule(name, FrozenBatchNorm(norm))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _pairs(backbone: nn.Module, images: Tensor) -> tuple[dict[str, str], Tensor]:
    """Names of convolutions that are used once, with the frozen batch norm that takes what they give; the features."""
    makers: dict[int, tuple[str, Tensor, int]] = {}
    pairs: dict[str, str] = {}
    used: list[str] = []

    def made(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            makers[id(output)] = (name, output, output._version)  # kept, so that no other has its identity
            used.append(name)

        return hook

    def taken(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            maker, _, version = makers.get(id(inputs[0]), ("", None, 0))
            if maker and inputs[0]._version == version:  # nothing has changed it in place
                pairs[maker] = name
            used.append(name)

        return hook

    hooks = []
    for name, module in backbone.named_modules():
        if type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame":
            hooks.append(module.register_forward_hook(made(name)))
        elif isinstance(module, FrozenBatchNorm):
            hooks.append(module.register_forward_pre_hook(taken(name)))
    features: Tensor = backbone(images)
    for hook in hooks:
        hook.remove()
    once = {maker: taker for maker, taker in pairs.items() if used.count(maker) == used.count(taker) == 1}
    return once, features


@torch.no_grad()
def fold_batch_norms(backbone: nn.Module, images: Tensor) -> None:
    """Fold frozen batch norms into the convolutions that they follow when `images` (B, C, H, W) pass.

    The others, as in networks that normalise first, stay what they are; so do all if anything else needs what a
    convolution gave.
    """
    with _evaluating(backbone):
        found, expected = _pairs(backbone, images)
        pairs: list[tuple[str, nn.Conv2d, FrozenBatchNorm]] = [
            (name, backbone.get_submodule(name), backbone.get_submodule(norm))  # type: ignore[misc]
            for name, norm in found.items()
        ]
        for name, convolution, norm in pairs:
            backbone.set_submodule(name, FoldedConvolution.of(convolution, norm))
        if torch.allclose(backbone(images), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            return
        log.info("batch norms stay by themselves: the network uses what comes before them elsewhere")
        for name, convolution, norm in pairs:
            backbone.set_submodule(name, convolution)
            norm.folded = False
