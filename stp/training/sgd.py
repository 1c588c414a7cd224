"""SGD without the import of torch's compiler."""

import inspect
from typing import Any

import torch


def plain(method: Any) -> Any:
    """A method of torch's optimisers below the decorators that keep it out of compiled graphs."""
    return inspect.unwrap(method)


class SGD(torch.optim.SGD):
    """torch's SGD, but that does not import torch's compiler, which costs each training more than a second.

    The methods are torch's own. Their decorators matter only to those who compile the optimiser itself.
    """

    add_param_group = plain(torch.optim.SGD.add_param_group)
    load_state_dict = plain(torch.optim.SGD.load_state_dict)
    state_dict = plain(torch.optim.SGD.state_dict)
    step = torch.no_grad()(plain(torch.optim.SGD.step))
    zero_grad = plain(torch.optim.SGD.zero_grad)
