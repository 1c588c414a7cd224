"""The machine: processors, disk and compiler that this process may use (its memory is in `stp.memory`)."""

import os
import shutil
import sysconfig
from pathlib import Path


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def existing(path: Path) -> Path:
    """The path or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_disk(path: Path) -> int:
    """Bytes that are free where the path is or will be."""
    return shutil.disk_usage(existing(path)).free


def builds_c() -> bool:
    """Whether triton can build what starts its kernels: there are a C compiler and Python's headers."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return bool(compiler) and Path(sysconfig.get_paths()["include"], "Python.h").exists()
