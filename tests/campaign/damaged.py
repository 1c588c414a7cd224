"""Damaged files: every kind that stp writes and reads again, damaged in ten ways, then read by each of its readers.

Right is a refusal that names the file, or the output of the undamaged file. Text that users may edit has no checksum:
there the flipped bit is the eighth, which no text in ASCII has, and truncation ends within a row.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaign.case import RIGHT, SKIPPED, UNKNOWABLE, Case, Verdict, shown
from tests.campaign.command import Launcher, crash, refusal
from tests.campaign.results import FRAMES, RUNS, STEPS, VIDEO, copy, difference, undisturbed

READERS = {
    "index.csv": ["frames", "splits", "train", "score", "examples"],
    "skipped.csv": ["table1"],
    "fold1.csv": ["train", "score"],
    "rgb.h5": ["extract", "features", "train", "score", "examples", "explain"],
    "of.h5": ["score-of", "train-of", "examples"],
    "wof.h5": ["score-wof"],
    "jpeg/rgb.h5": ["extract-jpeg", "score-jpeg"],
    "frozen.h5": ["train-svm", "score-svm"],
    f"{RUNS[0]}/scores.h5": [
        *["table1", "metrics", "statistics", "confusion", "comparison", "classes", "methods"],
    ],
    f"{RUNS[0]}/model.pt": ["score", "predict", "explain"],
    "svm/model.pt": ["score-svm"],
    f"{RUNS[0]}/log.csv": ["curves", "runs"],
    "state/run/*.pt": ["train-state"],
    "state/run/*.csv": ["runs"],
    "state/run/*.json": ["runs"],
    "reported.csv": ["comparison", "classes"],
    "table1.md": ["paper"],
    "curves.png": ["paper"],
    "flow/flow.json": ["flow-again"],
    "network.pt": ["weights"],
    VIDEO: ["frames", "flow-h5", "predict"],
}
TEXT = {".csv", ".md", ".json"}
FOREIGN = {".h5": "index.csv", ".pt": "rgb.h5", ".csv": "curves.png", ".json": "curves.png", ".md": "rgb.h5"}
FOREIGN |= {".png": "index.csv", ".mp4": "index.csv"}

# What is no damage: a file that a command does not ask for by its name, and a text without rows cut short.
FINE = {("gone", "runs"), ("gone", "flow-h5"), ("folder", "flow-h5"), ("truncated", ".md")}

Damage = Callable[[Path, random.Random], None]


def flip(path: Path, chance: random.Random) -> None:
    """One bit: any of a binary file, the eighth of a letter of a text."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    data[place] ^= 0x80 if path.suffix in TEXT else 1 << chance.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, chance: random.Random) -> None:
    """Cut at any byte; a csv within one of its rows."""
    data = path.read_bytes()
    end = chance.randrange(1, len(data))
    if path.suffix == ".csv":
        row = chance.choice(data.splitlines(keepends=True)[1:])
        end = data.index(row) + max(1, row.find(b",") // 2)
    path.write_bytes(data[:end])


def hole(path: Path, chance: random.Random) -> None:
    """Zeros in place of 64 bytes or of an eighth."""
    data = bytearray(path.read_bytes())
    size = min(64, len(data) // 8)
    first = chance.randrange(len(data) - size)
    data[first : first + size] = bytes(size)
    path.write_bytes(data)


def tail_zeros(path: Path, chance: random.Random) -> None:
    """Zeros in the second half, as after a crash of a machine."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def empty(path: Path, chance: random.Random) -> None:
    """No byte."""
    path.write_bytes(b"")


def zeros(path: Path, chance: random.Random) -> None:
    """Nothing but zeros."""
    path.write_bytes(bytes(path.stat().st_size))


def folder(path: Path, chance: random.Random) -> None:
    """A folder of that name."""
    path.unlink()
    path.mkdir()


def gone(path: Path, chance: random.Random) -> None:
    """Nothing of that name."""
    path.unlink()


def denied(path: Path, chance: random.Random) -> None:
    """A file that may not be read."""
    path.chmod(0)


KINDS: dict[str, Damage] = {
    "flip": flip,
    "flip-2": flip,
    "flip-3": flip,
    "truncated": truncate,
    "hole": hole,
    "tail": tail_zeros,
    "empty": empty,
    "zeros": zeros,
    "folder": folder,
    "denied": denied,
}


def foreign(path: Path, chance: random.Random) -> None:
    """A whole file of another kind."""
    source = next(parent for parent in path.parents if (parent / "index.csv").exists())
    shutil.copy(source / FOREIGN[path.suffix], path)


KINDS |= {"foreign": foreign, "gone": gone}


def cases(results: Path, seed: int) -> list[Case]:
    """Every file, damage and reader."""
    return [
        Case(f"damaged/{name}/{kind}/{step}", attempt(results, name, kind, step, seed))
        for name, steps in READERS.items()
        for kind in KINDS
        for step in steps
        if (kind, step) not in FINE and (kind, Path(name).suffix) not in FINE
    ]


def attempt(results: Path, name: str, kind: str, step: str, seed: int) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Damage the file in a copy, run the reader, and compare with what it made of the whole file."""
    case = f"damaged/{name}/{kind}/{step}"

    def run(launcher: Launcher, place: Path) -> Iterator[Verdict]:
        source, out = place / "results", place / "out"
        copy(results, source)
        path = next(source.glob(name))
        file = path.relative_to(source).as_posix()
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        KINDS[kind](path, random.Random(f"{seed}/{name}/{kind}"))
        if path.is_file() and os.access(path, os.R_OK) and kind != "denied" and path.read_bytes() == data:
            yield Verdict(case, SKIPPED, "the damage changes nothing")
            return
        ended = STEPS[step].run(launcher, source, out, unprivileged=kind == "denied")
        if path.exists():
            path.chmod(0o644 if path.is_file() else 0o755)
        if fault := crash(ended):
            yield Verdict(case, fault, shown(ended))
        elif ended.code != 0:
            near = [path.parent.name] if kind == "gone" else []  # what is not there, what lies beside it may name
            fault = refusal(ended, file, path.name, *near)
            yield Verdict(case, fault or RIGHT, shown(ended))
        else:
            reference = undisturbed(launcher, results, step)
            inside = STEPS[step].inside
            made = source / inside if inside else out
            differs = difference(made, reference) or said(ended.stdout, reference)
            outcome = "unnoticed" if differs else RIGHT
            if differs and name == VIDEO and silent(launcher, path):
                outcome = UNKNOWABLE
            yield Verdict(case, outcome, f"{shown(ended)} ({differs})")

    return run


def silent(launcher: Launcher, video: Path) -> bool:
    """True if FFmpeg itself reports nothing about a video."""
    return launcher.run("call", "tests.campaign.clips:complaints", video).stdout.strip() == str(FRAMES)


def said(stdout: str, reference: Path) -> str | None:
    """`stdout` where the command says another thing than undisturbed."""
    return None if stdout == reference.with_suffix(".stdout").read_text() else "standard output"
