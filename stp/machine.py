"""The machine: processors, memory and disk that this process may use, within the limits of its control group.

Clusters and containers give a job less than the machine has, and a process that takes more is killed.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMORY_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # versions 2, 1


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def memory_groups(membership: str, root: Path = CONTROL_GROUPS) -> Iterator[Path]:
    """Folders of the control groups that limit a process's memory, from its own up to the root.

    `membership` is the content of /proc/PID/cgroup.
    """
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def group_room(folder: Path) -> tuple[int, int] | None:
    """Limit of a control group and what is left of it, in bytes; None where there is none.

    Pages of files that nobody has used lately are left, too: the kernel gives them back before it kills anything.
    """
    for limit_name, used_name in MEMORY_FILES:
        try:
            words, used = (folder / limit_name).read_text().strip(), int((folder / used_name).read_text())
            rows = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if words != "max":
            idle = int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
            return int(words), min(int(words), max(0, int(words) - used + idle))
    return None


def memory() -> tuple[int, int]:
    """Memory that this process may use and what of it is free, in bytes."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (1024 * int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    membership = Path("/proc/self/cgroup")
    groups = memory_groups(membership.read_text()) if membership.exists() else iter(())
    rooms = [room for folder in groups if (room := group_room(folder))]
    return min([total, *(limit for limit, _ in rooms)]), min([free, *(room for _, room in rooms)])


def existing(path: Path) -> Path:
    """The path or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_disk(path: Path) -> int:
    """Bytes that are free where the path is or will be."""
    return shutil.disk_usage(existing(path)).free
