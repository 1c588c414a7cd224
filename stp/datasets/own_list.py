"""A list of one's own: a csv file with a row per clip, for videos that lie in any folders."""

import math
from pathlib import Path

from stp.data.index import Clip
from stp.data.splits import WORDS
from stp.errors import UserError
from stp.system.tables import read_table
from stp.video.decoding import VIDEO_SUFFIXES

NEEDED = ("path", "label")
COLUMNS = (*NEEDED, "clip", "split", "group", "boxes", "coarse", "first_person", "start", "end")
FILES = ("path", "boxes", "first_person")  # columns with paths


def find_clips(videos: Path, table: Path | None = None) -> list[Clip]:
    """The clips of a csv file, UTF-8 with a header, in its order: the first clip of a class gives the class its number.

    path     of the video, absolute or below `videos`
    label    name of the class; may be empty where the label is hidden: every word of `split` is then hidden
    clip     unique id; left out or empty: the path below `videos` without its suffix
    split    words of the official splits, one for each fold, separated by `;`, as in the index
    group    actor or recording
    boxes    path of a csv of person boxes, absolute or below `videos`; its frames are the clip's, from 0
    coarse   a coarser class
    first_person  path of the first-person video of the same clip, absolute or below `videos`
    start    where the clip begins in a longer video, in seconds, in the first-person one, too; empty: at the beginning
    end      where it ends; empty: at the end

    Only path and label must be there. A column of another name is refused, since it may be a misspelt one.

    Args:
        videos: the folder that paths are relative to.
        table: the csv file.

    Raises:
        UserError: the file or something in it is wrong, named with its line.
    """
    if table is None:
        raise UserError(
            f"dataset.lists: importer 'list' needs a csv file with the columns {', '.join(COLUMNS)}; name it"
        )
    if not videos.is_dir():
        raise UserError(f"dataset.path: folder '{videos}' does not exist; name the folder that paths are relative to")
    if not table.is_file():
        raise UserError(f"dataset.lists: file '{table}' does not exist; name the csv file of the clips")
    names, rows = read_table(table)
    _check_header(table, names)
    clips: list[Clip] = []
    lines: dict[str, int] = {}
    coarser: dict[str, str] = {}
    for line, row in rows:
        where = f"{table}: line {line}"
        clip = _clip(videos, dict.fromkeys(COLUMNS, "") | row, where)
        if clip.clip in lines:
            raise UserError(
                f"{where}: clip id '{clip.clip}' is that of line {lines[clip.clip]}, too; give each its own in the "
                "column clip, or remove one"
            )
        if clip.label and (other := coarser.setdefault(clip.label, clip.coarse)) != clip.coarse:
            raise UserError(
                f"{where}: coarse '{clip.coarse}', but the class '{clip.label}' has '{other}' above; give it one"
            )
        lines[clip.clip] = line
        clips.append(clip)
    if not clips:
        raise UserError(f"{table}: has no clips; give a row to each, {','.join(COLUMNS)}")
    return clips


def named_files(videos: Path, table: Path) -> list[Path]:
    """The videos and boxes that the csv file names, absolute or below `videos`; none where the file cannot be read."""
    try:
        _, rows = read_table(table)
    except (UserError, OSError):  # as `find_clips` reports
        return []
    return [videos / row[column] for _, row in rows for column in FILES if row.get(column)]


def _check_header(table: Path, names: list[str]) -> None:
    """Raise UserError unless the names of the columns are among `COLUMNS`, with those needed."""
    allowed = f"columns are {', '.join(COLUMNS)}, separated by commas; path and label are needed"
    for name in names:
        if name not in COLUMNS:
            raise UserError(f"{table}: line 1: column '{name}' is unknown; {allowed}")
    if missing := [name for name in NEEDED if name not in names]:
        raise UserError(f"{table}: line 1: column {' and '.join(missing)} is missing; {allowed}")


def _clip(videos: Path, row: dict[str, str], where: str) -> Clip:
    """The clip of a row; `where` names file and line in errors."""
    path = _video(videos, row, "path", where)
    first_person = str(_video(videos, row, "first_person", where)) if row["first_person"] else ""
    boxes = str(videos / row["boxes"]) if row["boxes"] else ""
    if boxes and not Path(boxes).is_file():
        raise UserError(f"{where}: boxes '{row['boxes']}': there is no such file below '{videos}'; fix the path")
    words = row["split"].split(";") if row["split"] else []
    if wrong := [word for word in words if word not in WORDS]:
        raise UserError(f"{where}: split '{row['split']}': '{wrong[0]}' is none of {', '.join(WORDS)}")
    if not row["label"] and set(words) != {"hidden"}:
        raise UserError(f"{where}: label is empty; name the class, or give it the split hidden")
    start, end = (_seconds(row, column, where) for column in ("start", "end"))
    if end is not None and end <= (start or 0):
        raise UserError(f"{where}: end {row['end']} is not behind the start {row['start'] or 0}; give seconds")
    return Clip(
        clip=_id(videos, path, row, where),
        path=str(path),
        label=row["label"],
        group=row["group"],
        split=row["split"],
        boxes=boxes,
        coarse=row["coarse"],
        first_person=first_person,
        start=start,
        end=end,
    )


def _video(videos: Path, row: dict[str, str], column: str, where: str) -> Path:
    """The video that a column names; UserError if there is no such file, or it is no video by its name."""
    path = videos / row[column]
    if not row[column] or not path.is_file():
        raise UserError(f"{where}: {column} '{row[column]}': there is no such file below '{videos}'; fix the path")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        allowed = " ".join(sorted(VIDEO_SUFFIXES))
        raise UserError(f"{where}: {column} '{row[column]}' is no video by its name; allowed are {allowed}")
    return path


def _seconds(row: dict[str, str], column: str, where: str) -> float | None:
    """The seconds in a column; None where it is empty, UserError for anything but a number from 0 on."""
    try:
        seconds = float(row[column]) if row[column] else None
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise UserError(f"{where}: {column} '{row[column]}' is no number of seconds from 0 on, such as 12.5")
    return seconds


def _id(videos: Path, path: Path, row: dict[str, str], where: str) -> str:
    """The clip's id: its own, or its path below the folder of the videos without the suffix, with its start and end."""
    stem = path.with_name(path.stem)
    part = f"_{row['start'] or 0}-{row['end'] or 'end'}" if row["start"] or row["end"] else ""
    own = stem.relative_to(videos).as_posix() if stem.is_relative_to(videos) else stem.name
    name = row["clip"] or own + part
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise UserError(f"{where}: clip id '{name}' has an empty or dotted part; give another in the column clip")
    return name
