"""Devices: which processor or GPU a run computes on, and how exactly."""

import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import torch

from stp.errors import UserError

log = logging.getLogger(__name__)

DEVICE = re.compile(r"cpu|cuda(?::(\d+))?")
SECONDS_BETWEEN_LOOKS = 2.0


def select_device(name: str = "auto") -> torch.device:
    """`auto` is a GPU where there is one, else the CPU.

    Raises:
        UserError: an unknown name, or a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    number = DEVICE.fullmatch(name)
    if not number:
        raise UserError(f"compute.device: '{name}' is unknown; allowed are auto, cpu, cuda and cuda:N")
    if name != "cpu" and int(number[1] or 0) >= torch.cuda.device_count():
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


def open_lock(path: Path) -> int:
    """A file descriptor of a file that processes lock, of other users, too; made where it is not there."""
    if path.exists():  # Linux may refuse to open another user's file for creation
        return os.open(path, os.O_RDONLY)
    file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    with suppress(PermissionError):  # another user was faster
        os.fchmod(file, 0o644)  # whatever the user's mask is
    return file


@contextmanager
def one_at_a_time(purpose: str) -> Iterator[None]:
    """Of all processes of this machine, only one is within the block for this purpose; others wait."""
    file = open_lock(Path(tempfile.gettempdir()) / f"stp-{purpose}.lock")
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextmanager
def reserved_slot(gpus: Sequence[str], share: int, folder: Path) -> Iterator[int]:
    """Which of the GPUs of these names has a free one of its `share` places, the emptiest first.

    A place is a locked file in `folder`; the system frees it when the process ends, however it ends.
    """
    places = [(gpu, place) for place in range(share) for gpu in range(len(gpus))]
    waiting = False
    while True:
        for gpu, place in places:
            file = open_lock(folder / f"stp-gpu{gpus[gpu]}-{place}.lock")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            try:
                yield gpu
            finally:
                os.close(file)
            return
        if not waiting:
            log.info("waiting for a free GPU: all %d have %d runs", len(gpus), share)
            waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def taken_places(gpu: str, folder: Path) -> int:
    """How many runs hold a place of `reserved_slot` on the GPU of this name."""
    taken = 0
    for path in folder.glob(f"stp-gpu{gpu}-*.lock"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                taken += 1
    return taken


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
