"""Memory that a process may have: the system's, or less if a control group limits it."""

from pathlib import Path

import pytest

from stp.system.machine import cgroup_memory, process_memory

GIB = 1 << 30


def group(folder: Path, limit: str, usage: int, cached: int, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {cached}\n")


def proc(folder: Path, available: int, groups: str | None) -> Path:
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {available // 1024} kB\n")
    if groups is not None:
        (folder / "self" / "cgroup").write_text(groups)
    return folder


def test_every_group_above_is_a_limit_in_version_2(tmp_path: Path) -> None:
    root = tmp_path / "root"
    group(root / "slurm" / "job", str(8 * GIB), 5 * GIB, 1 * GIB, 2)
    group(root / "slurm", str(6 * GIB), 5 * GIB, 1 * GIB, 2)
    group(root / "slurm" / "job" / "step", "max", 5 * GIB, 0, 2)
    group(tmp_path, "1", 0, 0, 2)  # above the root: not ours
    assert list(cgroup_memory("0::/slurm/job/step\n", root)) == [(8 * GIB, 4 * GIB), (6 * GIB, 2 * GIB)]


def test_version_1_has_a_folder_for_memory(tmp_path: Path) -> None:
    group(tmp_path / "memory" / "slurm" / "job", str(8 * GIB), 5 * GIB, 2 * GIB, 1)
    text = "9:cpu,cpuacct:/elsewhere\n4:memory:/slurm/job\n1:name=systemd:/a:b\n0::/\n"
    assert list(cgroup_memory(text, tmp_path)) == [(8 * GIB, 5 * GIB)]


@pytest.mark.parametrize(("groups", "version"), [("0::/../../host/path\n", 2), ("3:memory:/docker/1a2b\n", 1)])
def test_a_containers_own_group_is_the_root(tmp_path: Path, groups: str, version: int) -> None:
    group(tmp_path if version == 2 else tmp_path / "memory", str(3 * GIB), GIB, 0, version)
    assert list(cgroup_memory(groups, tmp_path)) == [(3 * GIB, 2 * GIB)]


def test_the_smallest_room_counts(tmp_path: Path) -> None:
    group(tmp_path / "job", str(4 * GIB), 3 * GIB, 0, 2)
    assert process_memory(proc(tmp_path / "a", 16 * GIB, "0::/job\n"), tmp_path) == (4 * GIB, GIB)
    assert process_memory(proc(tmp_path / "b", GIB // 2, "0::/job\n"), tmp_path).free == GIB // 2
    assert process_memory(proc(tmp_path / "c", 16 * GIB, None), tmp_path).free == 16 * GIB
    group(tmp_path / "job", str(4 * GIB), 5 * GIB, 0, 2)
    assert process_memory(tmp_path / "a", tmp_path).free == 0


def test_without_proc_it_is_the_machines_memory(tmp_path: Path) -> None:
    assert process_memory(tmp_path / "none", tmp_path).total > GIB // 4


def test_free_memory_of_this_process_is_within_its_total() -> None:
    total, free = process_memory()
    assert 0 < free <= total
