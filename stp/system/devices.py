"""Devices: which processor or GPU a run computes on, and with what precision."""

import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stp.config import Compilation, Residence
from stp.config import Compute as ComputeSection
from stp.errors import UserError
from stp.system.gpu_slots import reserved_slot

log = logging.getLogger(__name__)

DEVICE = re.compile(r"cpu|cuda(?::(\d+))?")


@dataclass(frozen=True)
class Compute:
    """Where a run computes, and how: the device, and keys of the config's section `compute`.

    `resident` and `memory_share` say where the fields live (`stp.sampling.loading.open_fields`). At most
    `micro_batch_videos` videos of a mini-batch are held in memory at once, unless 0.
    """

    device: torch.device
    resident: Residence = ComputeSection.resident
    memory_share: float = ComputeSection.memory_share
    micro_batch_videos: int = ComputeSection.micro_batch_videos
    compilation: Compilation = ComputeSection.compile


def select_device(name: str = "auto") -> torch.device:
    """The device of this name: `cpu`, `cuda`, `cuda:N`, or `auto`, which is a GPU if there is one and else the CPU.

    Raises:
        UserError: the name is unknown, or there is no such GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = DEVICE.fullmatch(name)
    if not device:
        raise UserError(f"compute.device: '{name}' is unknown; allowed are auto, cpu, cuda and cuda:N")
    if name != "cpu" and int(device[1] or 0) >= torch.cuda.device_count():
        raise UserError(f"compute.device: '{name}' was asked for, but torch finds {torch.cuda.device_count()} GPUs")
    return torch.device(name)


@contextmanager
def reserved_device(name: str = "auto", share: int = 1) -> Iterator[torch.device]:
    """`select_device`; unless a GPU is named by its number, one of those visible with fewer than `share` runs on it.

    Snakemake and other local schedulers count GPUs but do not assign them, and count none unless they are told to. GPUs
    that CUDA_VISIBLE_DEVICES hides, as SLURM does, are not used. Waits while all GPUs are in use.
    """
    device = select_device(name)
    if device.type != "cuda" or device.index is not None:
        yield device
        return
    with reserved_slot(visible_gpus(), share, Path(tempfile.gettempdir())) as index:
        yield torch.device("cuda", index)


def use(device: torch.device) -> None:
    """Make a GPU this process's current one, because triton computes there."""
    if device.index is not None:
        torch.cuda.set_device(device)


def visible_gpus() -> list[str]:
    """The UUIDs of the GPUs in torch's order: a card has one, whatever CUDA_VISIBLE_DEVICES calls it in a job."""
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]


def configure(device: torch.device, deterministic: bool = False, shapes_repeat: bool = True) -> None:
    """Set how this process computes on a GPU. A CPU needs no setting: its results always repeat exactly.

    float32 operations use TF32. With `shapes_repeat` cudnn searches for the fastest algorithms, which takes seconds for
    every new shape. With `deterministic` it does not, and results repeat exactly.
    """
    if device.type != "cuda":
        return
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = shapes_repeat and not deterministic
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def channels_last(network: nn.Module) -> None:
    """Store a network's images and the kernels of its 2D convolutions with their channels last, which is faster.

    Tensors of other dimensions, as kernels of 3D convolutions, stay as they are.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)


def copy_to_host(tensor: Tensor) -> Callable[[], Tensor]:
    """A function that gives the tensor on the CPU; a copy from a GPU begins at once, and the function waits for it."""
    if tensor.device.type == "cpu":
        return lambda: tensor
    copied = torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
    done = torch.cuda.current_stream(tensor.device).record_event()

    def wait() -> Tensor:
        done.synchronize()
        return copied

    return wait


def in_bfloat16(device: torch.device, precision: str) -> bool:
    """True if `precision` says bfloat16; `auto` means bfloat16 on GPUs, where it is faster."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A context that computes in bfloat16 if `precision` says so (`in_bfloat16`)."""
    if in_bfloat16(device, precision):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def full_memory_named(run: str, keys: str) -> Iterator[None]:
    """Turn a GPU's out-of-memory error into a UserError that names the run and the `keys` to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise UserError(f"{run}: out of GPU memory ({reason}); lower {keys}") from None
