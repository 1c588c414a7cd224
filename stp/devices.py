"""Devices: which processor or GPU a run computes on, and how exactly."""

import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

    Snakemake and other local schedulers count GPUs but hand none out. SLURM does, by CUDA_VISIBLE_DEVICES, which is
    then heeded. Waits while all are taken.
    """
    device = select_device(name)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if device.type != "cuda" or device.index is not None or visible is not None or torch.cuda.device_count() < 2:
        yield device
        return
    with reserved_slot(torch.cuda.device_count(), share, Path(tempfile.gettempdir())) as index:
        yield torch.device("cuda", index)


@contextmanager
def reserved_slot(gpus: int, share: int, folder: Path) -> Iterator[int]:
    """The number of a GPU of `gpus` with a free one of its `share` places, the emptiest first.

    A place is a locked file in `folder`; the system frees it when the process ends, however it ends.
    """
    places = [(gpu, place) for place in range(share) for gpu in range(gpus)]
    waiting = False
    while True:
        for gpu, place in places:
            path = folder / f"stp-gpu{gpu}-{place}.lock"
            # Another user's file can be locked too, but Linux may refuse to open it for creation.
            file = os.open(path, os.O_RDONLY if path.exists() else os.O_RDONLY | os.O_CREAT, 0o644)
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
            log.info("waiting for a free GPU: all %d have %d runs", gpus, share)
            waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def taken_places(gpu: int, folder: Path) -> int:
    """How many runs hold a place of `reserved_slot` on a GPU."""
    taken = 0
    for path in folder.glob(f"stp-gpu{gpu}-*.lock"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                taken += 1
    return taken


def configure(device: torch.device, deterministic: bool = False) -> None:
    """How this process computes on a GPU, set here and nowhere else; nothing on a CPU, which always repeats exactly.

    TF32 for what stays float32, and cudnn's search for the fastest algorithms; or, `deterministic`, the same result
    every time.
    """
    if device.type != "cuda":
        return
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bfloat16 where `precision` asks for it; `auto` does on GPUs, where it pays."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
