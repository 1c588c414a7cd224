"""The index: a table with one row per clip, from which everything downstream takes its clips, labels and groups."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path

from stp.errors import UserError
from stp.system.tables import read_table, verify_rows, write_table

SKIPPED = ("clip", "path", "reason")  # columns of the table of videos that are not in the index


@dataclass(frozen=True)
class Clip:
    """One trimmed video of one action.

    clip     unique id
    path     of the video
    label    name of the class; empty if it is hidden (an official test set)
    group    actor or recording, whose clips must be on one side of a split; empty if unknown
    split    words of the official splits (train, test, unused or hidden), separated by `;`; empty if there are none
    frames   number of frames that decode; 0 if not known yet
    boxes    path of a csv with person boxes (`stp.data.boxes`); empty if there is none
    coarse   label of a coarser class (the body part of an action); empty if there is none
    digest   of the bytes of the video and its boxes (`stp.video.identity`); empty if not known
    slot     number that places the clip in a shard; None: its place in the index
    first_person  path of the first-person video of the same clip; empty if there is none
    start    where the clip begins in its video, in seconds; None: where the video does
    end      where it ends; None: where the video does
    """

    clip: str
    path: str
    label: str
    group: str = ""
    split: str = ""
    frames: int = 0
    boxes: str = ""
    coarse: str = ""
    digest: str = ""
    slot: int | None = None
    first_person: str = ""
    start: float | None = None
    end: float | None = None

    @property
    def part(self) -> tuple[float, float] | None:
        """Start and end in seconds of a clip that is a part of its video; None if it is the whole."""
        if self.start is None and self.end is None:
            return None
        return self.start or 0.0, math.inf if self.end is None else self.end


@dataclass(frozen=True)
class Index:
    """The clips of a data set in a fixed order; classes are numbered in the order in which they first appear."""

    clips: tuple[Clip, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(clip.label for clip in self.clips if clip.label))

    @property
    def coarse(self) -> tuple[str, ...]:
        """The coarser class of each class; empty where there are none."""
        names = {clip.label: clip.coarse for clip in self.clips if clip.label}
        return tuple(names.values()) if any(names.values()) else ()

    @property
    def labels(self) -> list[int]:
        """The number of each clip's class; -1 where the label is hidden."""
        number = {name: i for i, name in enumerate(self.classes)}
        return [number.get(clip.label, -1) for clip in self.clips]

    @property
    def slots(self) -> dict[str, int]:
        """The number by which each clip, by its id, is placed in a shard."""
        return {clip.clip: place if clip.slot is None else clip.slot for place, clip in enumerate(self.clips)}

    def shard(self, number: int, shards: int) -> tuple[Clip, ...]:
        """The clips of shard `number` of `shards`: of every `shards`-th slot, so that shards are of similar size."""
        slots = self.slots
        return tuple(clip for clip in self.clips if slots[clip.clip] % shards == number)


def place(clips: Sequence[Clip], earlier: Index | None) -> list[Clip]:
    """The clips with slots: those of an earlier index keep theirs, so that they stay in their shards.

    Others take the lowest that are free; without an earlier index, slots are the clips' places.
    """
    slots = earlier.slots if earlier else {}
    taken = {slots[clip.clip] for clip in clips if clip.clip in slots}
    free = (number for number in count() if number not in taken)
    return [replace(clip, slot=slots[clip.clip] if clip.clip in slots else next(free)) for clip in clips]


def first_person_clips(index: Index, folder: Path | None = None) -> list[Clip]:
    """The clips as their first-person videos show them: of the same names and shards, with unknown frames and digest.

    `path` is that of the first-person video: the one in the index, or FOLDER/CLIP_ID.mp4.
    """
    slots = index.slots
    paths = {clip.clip: str(folder / f"{clip.clip}.mp4") if folder else clip.first_person for clip in index.clips}
    return [
        replace(clip, path=paths[clip.clip], frames=0, boxes="", digest="", slot=slots[clip.clip], first_person="")
        for clip in index.clips
    ]


def check_first_person(clips: Sequence[Clip], needed_by: str) -> None:
    """Raise a UserError if a clip has no first-person video; `needed_by` is the name of what sees them."""
    lacking = [clip.clip for clip in clips if not clip.first_person]
    if lacking:
        raise UserError(
            f"{needed_by} needs first-person video, which {len(lacking)} of {len(clips)} clips lack, such as "
            f"'{lacking[0]}': importer pev finds NNNNN_f.mp4, importer list a column first_person (an index of an "
            "earlier version has none: make it again); or leave the method out"
        )


def check_ids(clips: Sequence[Clip]) -> None:
    """Raise a UserError for ids that are not unique or cannot name an HDF5 data set (`a/b` beside `a`, `a//b`)."""
    seen: dict[str, Clip] = {}
    for clip in clips:
        try:
            f"{clip.clip}{clip.path}".encode()
        except UnicodeEncodeError:
            raise UserError(f"{clip.path!a}: the name is not UTF-8: rename the video or its folder") from None
        if clip.clip in seen:
            paths = f"'{seen[clip.clip].path}' and '{clip.path}'"
            raise UserError(f"clip id '{clip.clip}' stands for two videos, {paths}: rename one of them")
        if any(part in ("", ".", "..") for part in clip.clip.split("/")):
            raise UserError(f"clip id '{clip.clip}' has an empty or dotted part: rename the video or its folder")
        seen[clip.clip] = clip
    for clip in clips:
        parents = clip.clip.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if "/".join(parents[:depth]) in seen:
                raise UserError(f"clip id '{clip.clip}' lies below another clip's id: rename one of the videos")


def write_index(path: Path, clips: Iterable[Clip]) -> None:
    """Write the clips as csv, with a digest of each row; the file appears only when it is complete."""
    names = [field.name for field in fields(Clip)]
    rows = ([getattr(clip, name) for name in names] for clip in clips)
    write_table(path, names, (["" if value is None else str(value) for value in row] for row in rows))


def read_index(path: str | Path) -> Index:
    """Read an index from a csv; columns that `Clip` lacks are ignored, so that users may add their own.

    Raises:
        UserError: a column is missing, a value or an id is not allowed, a row was changed after `write_index` wrote it,
            or there are no clips.
    """
    path, names = Path(path), [field.name for field in fields(Clip)]
    columns, table = read_table(path)
    if missing := {"clip", "path", "label"} - set(columns):
        raise UserError(f"{path}: column {', '.join(sorted(missing))} is missing; an index has {', '.join(names)}")
    verify_rows(path, table, names, "make the index again")
    rows = [{name: row[name] for name in names if name in row} for _, row in table]
    for row in rows:
        if (frames := row.get("frames", "")) and not (frames.isascii() and frames.isdecimal()):
            raise UserError(f"{path}: clip '{row['clip']}' has '{frames}' frames; give a whole number, or nothing")
        if (slot := row.get("slot", "")) and not (slot.isascii() and slot.isdecimal()):
            raise UserError(f"{path}: clip '{row['clip']}' has the slot '{slot}'; give a whole number, or nothing")
        for name in ("start", "end"):
            try:
                float(row.get(name) or 0)
            except ValueError:
                raise UserError(f"{path}: clip '{row['clip']}' has the {name} '{row[name]}'; give seconds") from None
    clips = tuple(_clip(row) for row in rows)
    if not clips:
        raise UserError(f"{path}: the index has no clips")
    check_ids(clips)
    index = Index(clips)
    pairs = {(clip.label, clip.coarse) for clip in clips if clip.label}
    some_have_none = index.coarse != () and any(coarse == "" for _, coarse in pairs)
    if len(pairs) > len(index.classes) or some_have_none:
        raise UserError(f"{path}: column coarse must give every class one coarser class, or be empty for all clips")
    return index


def _clip(row: dict[str, str]) -> Clip:
    """The clip of a row of an index, whose numbers are numbers."""
    numbers: dict[str, float | int | None] = {
        "frames": int(row.get("frames") or 0),
        "slot": int(row["slot"]) if row.get("slot") else None,
        "start": float(row["start"]) if row.get("start") else None,
        "end": float(row["end"]) if row.get("end") else None,
    }
    return Clip(**{**row, **numbers})  # type: ignore[arg-type]


def read_skipped(path: Path) -> list[dict[str, str]]:
    """The videos that are not in the index, by the columns SKIPPED; UserError if the file is not their table."""
    names, rows = read_table(path)
    if missing := set(SKIPPED) - set(names):
        raise UserError(f"{path}: column {', '.join(sorted(missing))} is missing; make the index again")
    verify_rows(path, rows, SKIPPED, "make the index again")
    return [row for _, row in rows]
