"""Whether triton's kernels can run here."""

import importlib.util
import os

import torch

from stp.system.machine import builds_c

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
