"""Devices: which processor or GPU a run computes on, and how exactly."""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

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
    """`auto` is a GPU where there is one, else the CPU.

    Raises:
        UserError: an unknown name, or a GPU that is not there.
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
    """`select_device`; where several GPUs are visible and none is named, one with fewer than `share` runs on it.

    Snakemake and other local schedulers count GPUs but hand none out. Of GPUs that CUDA_VISIBLE_DEVICES hides, as SLURM
    does, none is taken. Waits while all are taken.
    """
    device = select_device(name)
    if device.type != "cuda" or device.index is not None or torch.cuda.device_count() < 2:
        yield device
        return
    with reserved_slot(visible_gpus(), share, Path(tempfile.gettempdir())) as index:
        yield torch.device("cuda", index)


def use(device: torch.device) -> None:
    """Make a GPU this process's current one, on which triton computes."""
    if device.index is not None:
        torch.cuda.set_device(device)


def visible_gpus() -> list[str]:
    """What the machine, or CUDA_VISIBLE_DEVICES, calls the GPUs that torch counts from 0."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else map(str, range(count))
    return [re.sub(r"[^\w-]", "_", name.strip()) for name in names][:count]


def configure(device: torch.device, deterministic: bool = False, shapes_repeat: bool = True) -> None:
    """How this process computes on a GPU, set here and nowhere else; nothing on a CPU, which always repeats exactly.

    TF32 for what stays float32, and, where `shapes_repeat`, cudnn's search for the fastest algorithms, which takes
    seconds for every new shape; or, `deterministic`, the same result every time.
    """
    if device.type != "cuda":
        return
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = shapes_repeat and not deterministic
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bfloat16 where `precision` asks for it; `auto` does on GPUs, where it pays."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def full_memory_named(run: str, keys: str) -> Iterator[None]:
    """Turn a GPU's lack of memory into one line that names the run and the `keys` to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise UserError(f"{run}: out of GPU memory ({reason}); lower {keys}") from None
