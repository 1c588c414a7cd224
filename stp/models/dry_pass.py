"""A network's pass over images in which only shapes are computed: in no time, and with no memory for the maps."""

from typing import Any

import torch
from torch import nn


def dry_pass(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """What the network returns for images of this shape, on the meta device: shapes without values.

    The network stays as it is.
    """
    state = {key: value.to("meta") for key, value in [*network.named_parameters(), *network.named_buffers()]}
    with torch.no_grad():
        return torch.func.functional_call(network, state, (torch.zeros(shape, device="meta"),))
