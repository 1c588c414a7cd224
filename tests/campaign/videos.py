"""Videos: healthy ones are taken with all their frames in order, damaged ones are named or decode as if whole.

Each combination of container and codec is one case of healthy videos and one of damaged ones: one call of `stp index`
and one of `stp frames` see them all, in a class each. Where a call fails as a whole, each video is tried alone.
"""

import csv
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from stp.data.index import read_index
from stp.data.shards import ClipFields
from tests.campaign.case import RIGHT, SKIPPED, UNKNOWABLE, Case, Verdict, shown
from tests.campaign.clips import SIZE, Kind, Variant, kinds, same_numbers, variants, write_plain
from tests.campaign.command import Ended, Launcher, crash, refusal

STORED = ["--width", SIZE[0], "--height", SIZE[1]]
STREAMS = {".mpg", ".mpeg", ".ts"}  # no header says how long they are: cut between packets, they are shorter videos
DAMAGES = 8  # of a combination

Damage = Callable[[bytearray, random.Random], bytes]


def cases(results: Path, seed: int) -> list[Case]:
    """Healthy and damaged videos of every combination."""
    found = []
    for kind in kinds():
        found.append(Case(f"videos/{kind}/healthy", healthy(kind)))
        found.append(Case(f"videos/{kind}/damaged", damaged(kind, seed)))
    return found


def healthy(kind: Kind) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """All healthy variants of a combination."""

    def run(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
        made: dict[str, Variant] = {}
        for name, variant in variants(kind).items():
            path = folder / f"videos/class/{name}.{kind.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            written = write(launcher, path, kind, name)
            if written.code:  # the encoder or the container refuses this variant
                path.unlink(missing_ok=True)
                said = written.stderr.strip() or f"ended with {written.code}"
                yield Verdict(f"videos/{kind}/{name}", SKIPPED, f"FFmpeg cannot write {kind} {name}: {said}")
            else:
                made[name] = variant
        write_plain(folder / "videos/class/known.avi")  # so that the class is never empty
        ended, reasons = index(launcher, folder)
        if crash(ended) or ended.code:
            yield from alone(launcher, folder, kind)
            return
        counts = {clip.clip: clip.frames for clip in read_index(folder / "index.csv").clips}
        frames = launcher.stp("frames", "index.csv", *STORED, "-o", "rgb.h5", cwd=folder)
        stored = None if frames.code else ClipFields([folder / "rgb.h5"])
        for name, variant in made.items():
            case, clip = f"videos/{kind}/{name}", f"class/{name}"
            if clip not in counts:
                yield Verdict(case, "refused", reasons.get(clip, "not in the index, and not named"))
            elif counts[clip] != len(variant.shown):
                yield Verdict(case, "different", f"{counts[clip]} frames in the index, not {len(variant.shown)}")
            elif stored is None:
                yield Verdict(case, crash(frames) or "refused", shown(frames))
            elif not same_numbers([frame.transpose(1, 2, 0) for frame in stored[clip]], variant.shown, variant):
                yield Verdict(case, "different", "the stored frames are not those of the video in their order")
            else:
                yield Verdict(case, RIGHT)

    return run


def write(launcher: Launcher, path: Path, kind: Kind, variant: str) -> Ended:
    """Write a video in a process of its own: encoders may crash."""
    return launcher.run("call", "tests.campaign.clips:write_named", path, kind, variant)


def index(launcher: Launcher, folder: Path) -> tuple[Ended, dict[str, str]]:
    """Index the folder's videos; how it ended, and the reasons for which clips were skipped."""
    words = ["index", "videos", "-o", "index.csv", "--skipped", "skipped.csv", "--on-bad-video", "skip"]
    ended = launcher.stp(*words, cwd=folder)
    if ended.code:
        return ended, {}
    with (folder / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return ended, {row["clip"]: row["reason"] for row in csv.DictReader(file)}


def alone(launcher: Launcher, folder: Path, kind: Kind) -> Iterator[Verdict]:
    """Verdicts on videos that cannot be indexed together: each in a folder of its own."""
    for path in sorted((folder / "videos/class").iterdir()):
        place = folder / f"alone/{path.stem}"
        (place / "videos/class").mkdir(parents=True)
        (place / "videos/class" / path.name).symlink_to(path)
        ended, _ = index(launcher, place)
        yield Verdict(f"videos/{kind}/{path.stem}", crash(ended) or ("refused" if ended.code else RIGHT), shown(ended))


def cut(data: bytearray, chance: random.Random) -> bytes:
    """The beginning, between a tenth and nine tenths."""
    return bytes(data[: int(len(data) * chance.randint(10, 90) / 100)])


def hole(data: bytearray, chance: random.Random) -> bytes:
    """400 zeros in the body."""
    first = chance.randrange(len(data) // 5, len(data) * 4 // 5)
    data[first : first + 400] = bytes(len(data[first : first + 400]))
    return bytes(data)


def flips(data: bytearray, chance: random.Random) -> bytes:
    """One bit in every 2,000 bytes of the body."""
    for _ in range(1 + len(data) // 2000):
        data[chance.randrange(len(data) // 10, len(data) * 9 // 10)] ^= 1 << chance.randrange(8)
    return bytes(data)


def header(data: bytearray, chance: random.Random) -> bytes:
    """Other bytes in the first 64."""
    first = chance.randrange(0, 60)
    data[first : first + 4] = chance.randbytes(4)
    return bytes(data)


DAMAGE: dict[str, Damage] = {
    "cut": cut,
    "cut-2": cut,
    "cut-3": cut,
    "hole": hole,
    "hole-2": hole,
    "flips": flips,
    "flips-2": flips,
    "header": header,
    "empty": lambda data, chance: b"",
    "text": lambda data, chance: b"not a video\n" * 500,
    "zeros": lambda data, chance: bytes(len(data)),
}


def damaged(kind: Kind, seed: int) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Damaged copies of one video, each in a class of its own beside a whole one."""

    def run(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
        chance = random.Random(f"{seed}/{kind}")
        whole = folder / f"videos/whole/whole.{kind.suffix}"
        whole.parent.mkdir(parents=True)
        if (written := write(launcher, whole, kind, "whole")).code:
            raise RuntimeError(written.stderr)
        write_plain(whole.with_name("plain.avi"))  # so that no class is without a video
        data = whole.read_bytes()
        names = chance.sample(sorted(DAMAGE), DAMAGES)
        for name in names:
            path = folder / f"videos/{name}/{name}.{kind.suffix}"
            path.parent.mkdir()
            path.write_bytes(DAMAGE[name](bytearray(data), chance))
            write_plain(path.parent / "plain.avi")
        ended, reasons = index(launcher, folder)
        if crash(ended) or ended.code:
            for name in names:
                yield damaged_alone(launcher, folder, f"videos/{kind}/{name}", whole, name)
            return
        taken = {clip.clip for clip in read_index(folder / "index.csv").clips}
        if "whole/whole" not in taken:
            yield Verdict(f"videos/{kind}/whole", "refused", reasons.get("whole/whole", "not in the index"))
        for name in names:
            case, clip = f"videos/{kind}/{name}", f"{name}/{name}"
            if clip in reasons:
                yield Verdict(case, RIGHT if reasons[clip] else "words", reasons[clip])
            elif clip not in taken:
                yield Verdict(case, RIGHT if name in ended.stderr else "unnoticed", "left out without a word")
            elif "whole/whole" in taken:
                yield used(launcher, folder, case, clip)

    return run


def damaged_alone(launcher: Launcher, folder: Path, case: str, whole: Path, name: str) -> Verdict:
    """The verdict on a damaged video beside the whole one."""
    place = folder / f"alone/{name}"
    for path in (whole, folder / f"videos/{name}/{name}{whole.suffix}"):
        link = place / "videos" / path.parent.name / path.name
        link.parent.mkdir(parents=True)
        link.symlink_to(path)
    ended, _ = index(launcher, place)
    if ended.code == 0:
        return Verdict(case, RIGHT, "seen alone")
    return Verdict(case, crash(ended) or refusal(ended, name) or RIGHT, shown(ended))


def used(launcher: Launcher, folder: Path, case: str, clip: str) -> Verdict:
    """The verdict on a damaged video that was taken: it must decode as the whole one does."""
    every = read_index(folder / "index.csv").clips
    frames: dict[str, np.ndarray] = {}
    for number, each in enumerate(every):
        if each.clip in ("whole/whole", clip):
            words = ["frames", "index.csv", *STORED, "--shard", number, "--shards", len(every), "-o", "rgb.h5"]
            ended = launcher.stp(*words, cwd=folder)
            if ended.code and each.clip == clip:
                return Verdict(case, refusal(ended, clip, each.path) or RIGHT, shown(ended))
            if ended.code:
                return Verdict(case, crash(ended) or "refused", shown(ended))
            frames[each.clip] = np.array(ClipFields([folder / "rgb.h5"])[each.clip])
    outcome, detail = compared(frames, clip)
    if outcome != RIGHT:
        path = next(each.path for each in every if each.clip == clip)
        said = launcher.run("call", "tests.campaign.clips:complaints", path, cwd=folder).stdout.strip()
        frames_only = str(len(frames["whole/whole"])), str(len(frames[clip])) if Path(path).suffix in STREAMS else ""
        if said in frames_only:
            return Verdict(case, UNKNOWABLE, f"{detail}, of which FFmpeg reports nothing")
        detail += f"; FFmpeg says: {said}"
    return Verdict(case, outcome, detail)


def compared(frames: Mapping[str, np.ndarray], clip: str) -> tuple[str, str]:
    """Outcome and detail of a damaged clip's frames beside those of the whole one."""
    whole, found = frames["whole/whole"], frames[clip]
    if len(found) != len(whole):
        return "unnoticed", f"{len(found)} of {len(whole)} frames"
    wrong = int((found != whole).any((1, 2, 3)).sum())
    return ("unnoticed", f"{wrong} of {len(whole)} frames are wrong") if wrong else (RIGHT, "decodes as if whole")
