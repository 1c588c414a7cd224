"""Full disks: commands whose output lies on a disk that runs full, and that is then given room."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaign.case import RIGHT, SKIPPED, Case, Verdict, shown
from tests.campaign.command import Launcher, crash, refusal
from tests.campaign.kills import incomplete, second_run
from tests.campaign.results import STEPS, copy, undisturbed

FILLED = (
    *("demo", "index", "init", "frames", "frames-jpeg", "extract", "extract-jpeg", "features", "splits", "train"),
    *("train-svm", "score", "table1", "confusion", "curves", "paper", "examples", "explain", "predict"),
    *("predict-overlay", "flow-h5", "flow-npy", "flow-png", "flow-jpg", "flow-mp4", "weights"),
)
PAGE = 4096
ROOM = 256 * 2**20  # bytes, once there is room again


def cases(results: Path, seed: int) -> list[Case]:
    """Each command twice: the disk runs full early, and late."""
    found = [
        Case(f"disks/{step}/{name}", attempt(results, step, name, low, high, seed))
        for step in FILLED
        for name, low, high in (("early", 0.1, 0.5), ("late", 0.5, 0.9))
    ]
    temporary = [Case(f"disks/{step}/tmpdir", temporary_attempt(results, step)) for step in ("predict",)]
    return [*found, *temporary]


def mount(folder: Path, size: int, *options: str) -> None:
    """A disk of so many bytes at a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "none", folder], check=True)


def unmount_below(folder: Path) -> None:
    """Unmount every disk below a folder, whatever went wrong before."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in mounted:
        if path.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", path], check=False)


def obstacle() -> str | None:
    """Why no disk can be mounted here, or None."""
    return None if os.geteuid() == 0 else "full disks need root to mount them; `unshare -Urm make campaign` may do"


def needed(reference: Path) -> int:
    """Pages that the files of a folder take."""
    return sum(-(-path.stat().st_size // PAGE) for path in reference.rglob("*") if path.is_file())


def attempt(
    results: Path, name: str, word: str, low: float, high: float, seed: int
) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Run a command into a disk that is too small, then into the same one with room."""
    case = f"disks/{name}/{word}"

    def run(launcher: Launcher, place: Path) -> Iterator[Verdict]:
        if reason := obstacle():
            yield Verdict(case, SKIPPED, reason)
            return
        step, reference = STEPS[name], undisturbed(launcher, results, name)
        pages = int(random.Random(f"{seed}/{case}").uniform(low, high) * needed(reference))
        source, disk = place / "results", place / "disk"
        copy(results, source)
        disk.mkdir()
        mount(disk, (pages + 1) * PAGE)
        try:
            out, filler = disk / "out", disk / "filler"
            filler.write_bytes(bytes(PAGE))  # a disk of 0 bytes is one without limit
            ended = step.run(launcher, source, out)
            where = f"{pages} of {needed(reference)} pages"
            if fault := crash(ended):
                yield Verdict(case, fault, f"{where}: {shown(ended)}")
            elif ended.code == 0 and incomplete(out, reference):
                yield Verdict(case, "incomplete", f"{where}: {incomplete(out, reference)}: {shown(ended)}")
            elif ended.code != 0 and (fault := refusal(ended, "No space", "disk", "room")):
                yield Verdict(case, fault, f"{where}: {shown(ended)}")
            elif broken := incomplete(out, reference):
                yield Verdict(case, "incomplete", f"{where}: {broken}: {shown(ended)}")
            else:
                subprocess.run(["mount", "-o", f"remount,size={ROOM}", disk], check=True)
                yield second_run(case, where, launcher, step, source, out, reference)
        finally:
            unmount_below(place)

    return run


def temporary_attempt(results: Path, name: str) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Run a command whose temporary folder lies on a full disk."""
    case = f"disks/{name}/tmpdir"

    def run(launcher: Launcher, place: Path) -> Iterator[Verdict]:
        if reason := obstacle():
            yield Verdict(case, SKIPPED, reason)
            return
        disk = place / "disk"
        disk.mkdir()
        mount(disk, 4 * PAGE)
        try:
            ended = STEPS[name].run(launcher, results, place / "out", environment={"TMPDIR": str(disk)})
            fault = crash(ended) or ("unnoticed" if ended.code == 0 else refusal(ended, "No space", "disk", "room"))
            yield Verdict(case, fault or RIGHT, shown(ended))
        finally:
            unmount_below(place)

    return run
