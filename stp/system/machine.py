"""The machine: the processors, memory, disk and compiler that this process may use."""

import ctypes
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stp.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def existing(path: Path) -> Path:
    """The path or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_disk(path: Path) -> int:
    """Free bytes on the disk where the path is or will be."""
    return shutil.disk_usage(existing(path)).free


def check_room(needed: int, path: Path, purpose: str, fix: str) -> None:
    """Raise a UserError if fewer than `needed` bytes are free on the disk where the path is or will be.

    `purpose` says what for, in the plural, and `fix` how to get room.
    """
    free = free_disk(path)
    if needed > free:
        where = existing(path)
        raise UserError(f"{purpose} need {size_words(needed)} in '{where}', where {size_words(free)} are free; {fix}")


def size_words(size: int) -> str:
    """A number of bytes in MiB or GiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def builds_c() -> bool:
    """True if triton can build the code that starts its kernels: it needs a C compiler and Python's headers."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return bool(compiler) and Path(sysconfig.get_paths()["include"], "Python.h").exists()


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next training step; does nothing with other C libraries.

    By default glibc returns large blocks to the kernel, and every step maps all their pages again: on a CPU that takes
    up to half of a forward pass.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, 2**31 - 1)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class Memory(NamedTuple):
    """Bytes that a process may use, and how many of them are free."""

    total: int
    free: int


def process_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Memory:
    """The system's memory and how much of it is available, within the limits of this process's control groups.

    Schedulers and containers set these limits, in version 1 or 2 of the kernel's interface. Pages that only cache files
    count as free, as they do for the system. Without /proc, all of the machine's memory counts as free.
    """
    try:
        lines = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    except FileNotFoundError:
        everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Memory(everything, everything)
    groups = proc / "self" / "cgroup"
    rooms = list(cgroup_memory(groups.read_text(), cgroups)) if groups.exists() else []
    total, free = (1024 * int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return Memory(min([total, *(room.total for room in rooms)]), max(0, min([free, *(room.free for room in rooms)])))


def cgroup_memory(groups: str, root: Path) -> Iterator[Memory]:
    """Limit, and limit less usage, of each group that limits this process; `groups` is its /proc/self/cgroup.

    The limits of parent groups apply, too. In a container the path may be the host's, or lie outside what the container
    sees; its own group is then `root`.
    """
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, limit, usage, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = top if ".." in path.split("/") else top / path.strip("/")
        for folder in (group, *group.parents):
            if (folder / limit).is_file() and (most := (folder / limit).read_text().strip()) != "max":
                cached = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                free = int(most) - int((folder / usage).read_text()) + int(cached.get(cache, 0))
                yield Memory(int(most), free)
            if folder == top:
                break
