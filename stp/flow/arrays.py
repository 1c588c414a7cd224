"""Arrays that callers give: NumPy's or torch's, and results of the same kind."""

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


def is_tensor(value: object) -> bool:
    """True for a torch tensor; torch is not imported for it, because whoever has a tensor has imported it."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)  # none yet while another thread imports torch
    return tensor is not None and isinstance(value, tensor)


def as_numpy(value: Any, name: str) -> np.ndarray:
    """The values as a NumPy array; those of a tensor, which may be on a GPU, are copied only if they have to be.

    Raises:
        ValueError: it is neither an array nor a tensor; the message begins with its `name`.
    """
    if is_tensor(value):
        array: np.ndarray = value.detach().cpu().numpy()
        return array
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} must be a NumPy array or a torch tensor, not a {type(value).__name__}")
    return value


def like(result: np.ndarray, given: Array) -> Array:
    """The result as what was given: a NumPy array, or a tensor on the same device."""
    made: Any = result
    if is_tensor(given):
        import torch

        made = torch.from_numpy(result).to(given.device)
    return made
