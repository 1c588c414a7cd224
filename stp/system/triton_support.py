"""Support for triton's kernels: a check that they can run here, and the folder in which they are kept."""

import importlib.util
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from stp.system.files import own_folder
from stp.system.machine import builds_c

log = logging.getLogger(__name__)

SMALLEST_CAPABILITY = (8, 0)  # triton's own limit: Ampere


def triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def triton_available() -> bool:
    """True if triton can work here: on a CUDA GPU of compute capability 8.0 (Ampere) or higher, with a C compiler."""
    if not triton_installed() or torch.version.cuda is None or not torch.cuda.is_available():
        return False
    return torch.cuda.get_device_capability() >= SMALLEST_CAPABILITY and builds_c()


def interpreted() -> bool:
    """True if triton runs kernels on the CPU, which is for tests: it is thousands of times slower."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def runs_kernels(device: torch.device) -> bool:
    """True if triton can run kernels on this device."""
    return device.type == "cpu" if interpreted() else device.type == "cuda" and triton_available()


def keep_kernels() -> None:
    """Let triton keep compiled kernels below the temporary folder, if it cannot write where it would keep them."""
    home = os.environ.get("TRITON_HOME") or os.path.expanduser("~")
    known = Path(os.environ.get("TRITON_CACHE_DIR") or Path(home, ".triton", "cache"))
    with suppress(OSError):
        known.mkdir(parents=True, exist_ok=True)
        if os.access(known, os.W_OK):
            return
    folder = own_folder(Path(tempfile.gettempdir()) / f"stp-triton-{os.getuid()}")
    log.warning("compiled kernels cannot be written to '%s': they are kept in '%s'", known, folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder)
