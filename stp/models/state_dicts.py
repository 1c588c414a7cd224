"""Files of initial weights: loading them safely, checking their sha256, and that they fit the network exactly."""

import hashlib
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from stp.errors import UserError
from stp.system.tensor_files import load_tensors, not_finite


class LoadedWeights(NamedTuple):
    """The source of weights: a file, its sha256, how many of its tensors were loaded, and the names of the others."""

    file: str
    file_sha256: str
    tensors_loaded: int
    tensors_left_out: list[str]


def read_state(path: Path, within: str = "") -> dict[str, Tensor]:
    """The tensors of a .safetensors or a torch file, none of whose code runs; `within` is a key that may hold them.

    Raises:
        UserError: it is another file, a checksum in it is wrong, or a value is not finite.
    """
    if not path.is_file():
        raise UserError(f"model.weights: '{path}' does not exist; allowed are none, imagenet or a state dict's path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = dict(load_file(path))
        else:
            state = load_tensors(path)
    except Exception as error:  # both raise many types for other files
        reason = first_line(error)
        if isinstance(error, pickle.UnpicklingError):  # torch's message advises to load it unsafely
            reason = "it holds more than tensors, or is damaged"
        raise UserError(f"model.weights: '{path}' is not a state dict that loads safely: {reason}") from None
    if isinstance(state, dict) and within in state:
        state = state[within]
    if not isinstance(state, dict):
        raise UserError(f"model.weights: '{path}' holds a {type(state).__name__}, not a state dict of tensors")
    if foreign := [str(key) for key, value in state.items() if not isinstance(value, Tensor)]:
        raise UserError(f"model.weights: '{path}' is not a plain state dict of tensors: '{foreign[0]}' is no tensor")
    if bad := not_finite(state):
        raise UserError(f"model.weights: '{path}' has NaN or infinite values in '{bad}'; fetch the file again")
    return state


def first_line(error: Exception) -> str:
    """The first line of an error's message; of torch's errors, the line that gives the reason."""
    return str(error).split("\n\t", 1)[-1].strip().split("\n")[0][:200]


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise a UserError unless the file's sha256 is, or begins with, the expected one."""
    found = sha256_of(path)
    if not found.startswith(expected):
        raise UserError(f"model.weights: '{path}' has sha256 {found}, not {expected}: fetch the file again")


def leave_out(state: dict[str, Tensor], heads: Iterable[str], network: nn.Module) -> list[str]:
    """Remove the tensors of the network's removed heads from a state dict; their names.

    `heads` are names of modules. For `head.fc`, every tensor below `head` that the network lacks is removed.
    """
    modules, own = {name.split(".")[0] for name in heads}, network.state_dict()
    names = [key for key in state if key.split(".")[0] in modules and key not in own]
    for name in names:
        del state[name]
    return names


def load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load every tensor of the network; UserError, in one line, if a tensor is missing, left over or misshapen."""
    try:
        network.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise misfit(path, error) from None


def misfit(path: Path, error: Exception) -> UserError:
    """The error for weights of another network."""
    return UserError(f"model.weights: '{path}' does not fit the network: {first_line(error)}")
