"""The process's memory: its allocator, and how much it may still have."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next training step, where the C library is glibc.

    By default it returns large blocks to the kernel, and every step faults all its pages in again: on a CPU that is
    up to half of a forward pass.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, 2**31 - 1)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def available_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that the system could make free for this process, within the limits of its control groups.

    Schedulers and containers set these, of version 1 or 2 of the kernel's interface; pages that only cache files
    count as free, as they do for the system. Where there is no /proc it is the machine's memory.
    """
    try:
        lines = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    except FileNotFoundError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = proc / "self" / "cgroup"
    rooms = cgroup_rooms(groups.read_text(), cgroups) if groups.exists() else ()
    return max(0, min([1024 * int(lines["MemAvailable"].split()[0]), *rooms]))


def cgroup_rooms(groups: str, root: Path) -> Iterator[int]:
    """Limit less usage, in bytes, of each group that limits this process; `groups` is its /proc/self/cgroup.

    Every group above is a limit, too. In a container the path may be the host's, or lie outside what the container
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
                yield int(most) - int((folder / usage).read_text()) + int(cached.get(cache, 0))
            if folder == top:
                break
