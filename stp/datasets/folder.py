"""Any user's own videos, one folder a class: CLASS/clip.avi, or in folders of an official split: train/CLASS/clip.avi.

Videos may lie deeper than that, as in CLASS/subject/clip.avi: all videos below a class folder are its clips.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stp.data.index import Clip
from stp.errors import UserError
from stp.system.files import visible_files
from stp.system.tables import read_table
from stp.video.decoding import VIDEO_SUFFIXES, is_video

log = logging.getLogger(__name__)

OPTIONS: Mapping[str, tuple[str | bool, ...]] = {"groups": (False, True), "group": ()}
GROUP_COLUMNS = ("clip", "group")
BOXES_SUFFIX = ".boxes.csv"
PARTS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}


def class_folders(folder: Path) -> list[Path]:
    """The visible sub-folders of a data set, sorted by name; UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"dataset.path: folder '{folder}' does not exist; name the folder that holds the videos")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise UserError(f"dataset.path: '{folder}' has no class folders; put the videos at CLASS/clip.avi below it")
    return classes


def find_clips(folder: Path, table: Path | None = None, groups: bool = False, group: str = "") -> list[Clip]:
    """Clips of CLASS/clip.avi or of train/CLASS/clip.avi; the id is the path without its suffix.

    Classes are in the order of their names. If the folders at the top are those of an official split (`split_folders`),
    the clips have its words; one line of the log says so. NAME.boxes.csv beside a video holds its person boxes
    (`stp.data.boxes`).

    Args:
        folder: the folder of the class folders, or of those of the official split.
        table: a csv file with the columns clip and group, which gives each clip, by its id, its group.
        groups: the folder right below the class, as in CLASS/subject/clip.avi, is the clip's group.
        group: a regular expression; what it finds first in a clip's id, or in it its first part in brackets, is the
            clip's group. Where none of these three is given, there are no groups.

    Raises:
        UserError: the folder or a class in it has no videos, boxes have no video, or a clip has no group.
    """
    given = [name for name, value in (("dataset.lists", table), ("groups", groups), ("group", group)) if value]
    if len(given) > 1:
        raise UserError(f"dataset.options: {' and '.join(given)} each say what the groups are; keep one of them")
    listed = _listed_groups(table) if table else {}
    clips = _found(folder, groups)
    if table:
        return _with_groups(clips, listed, f"{table}: gives no group to")
    if group:
        return _with_groups(clips, _matched_groups(clips, group), f"dataset.options.group: '{group}' finds nothing in")
    return clips


def _with_groups(clips: Sequence[Clip], groups: Mapping[str, str], reason: str) -> list[Clip]:
    """The clips with their groups, by ids; UserError, with the reason before its name, if one has none."""
    if lacking := [clip.clip for clip in clips if not groups.get(clip.clip)]:
        raise UserError(f"{reason} {len(lacking)} of {len(clips)} clips, such as '{lacking[0]}'; each needs a group")
    return [replace(clip, group=groups[clip.clip]) for clip in clips]


def _matched_groups(clips: Sequence[Clip], expression: str) -> dict[str, str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(
            f"dataset.options.group: '{expression}' is no regular expression ({error}); give one such as '_(a[0-9]+)_'"
        ) from None
    found = {clip.clip: pattern.search(clip.clip) for clip in clips}
    return {name: match[1 if pattern.groups else 0] or "" for name, match in found.items() if match}


def _listed_groups(table: Path) -> dict[str, str]:
    if not table.is_file():
        raise UserError(f"dataset.lists: there is no file '{table}'; name the csv file of the clips' groups")
    names, rows = read_table(table)
    if not set(GROUP_COLUMNS) <= set(names):
        raise UserError(
            f"{table}: line 1 names the columns {', '.join(names)}; a file of groups has clip (CLASS/clip, the video's "
            "path without its suffix) and group"
        )
    return {row["clip"]: row["group"] for _, row in rows}


def _found(folder: Path, groups: bool) -> list[Clip]:
    classes = class_folders(folder)
    parts = split_folders(classes)
    if not parts:
        return [clip for label in classes for clip in _clips_of_class(folder, label, groups)]
    roles = "; ".join(f"{part.name}/ {ROLES[word]}" for part, word in parts.items())
    log.info("%s: folders of an official split, for splits.scheme: official and splits.folds: 1: %s", folder, roles)
    clips = [
        replace(clip, split=word)
        for part, word in parts.items()
        for label in class_folders(part)
        for clip in _clips_of_class(folder, label, groups)
    ]
    return sorted(clips, key=lambda clip: clip.label)  # stable: parts and names stay in order


ROLES = {"train": "trains", "test": "tests", "unused": "is not used"}


def split_folders(folders: Sequence[Path]) -> Mapping[Path, str]:
    """The official split's word of each folder: train trains, test tests; val tests where there is no test.

    Folders are those of a split if they have no other names than these, and train and another one have class folders
    with videos. A folder without them, as a test set whose labels are hidden, is left out. No split gives nothing.
    """
    parts = {folder: PARTS.get(folder.name.casefold(), "") for folder in folders}
    if not all(parts.values()):
        return {}
    parts = {folder: part for folder, part in parts.items() if _has_classes(folder)}
    if len(set(parts.values())) < len(parts) or "train" not in parts.values() or len(parts) < 2:
        return {}
    words = {"train": "train", "test": "test", "val": "unused" if "test" in parts.values() else "test"}
    return {folder: words[part] for folder, part in parts.items()}


def _has_classes(folder: Path) -> bool:
    below = (path.relative_to(folder) for path in visible_files(folder) if is_video(path))
    return any(len(path.parts) > 1 for path in below)


def _clips_of_class(folder: Path, label: Path, groups: bool) -> list[Clip]:
    files = list(visible_files(label))
    videos = sorted(path for path in files if is_video(path))
    if not videos:
        suffixes = " ".join(sorted(VIDEO_SUFFIXES))
        raise UserError(f"class folder '{label}' has no video ({suffixes}): add some or remove the folder")
    boxes = {path.with_name(path.name.removesuffix(BOXES_SUFFIX)): path for path in files if is_boxes(path)}
    if lonely := boxes.keys() - {video.with_name(video.stem) for video in videos}:
        path = boxes[min(lonely)]
        raise UserError(f"'{path}' has no video beside it: boxes are named as their video, NAME{BOXES_SUFFIX}")
    clips = []
    for video in videos:
        stem = video.with_name(video.stem)
        group = _group(video, label) if groups else ""
        own_boxes = str(boxes[stem]) if stem in boxes else ""
        clips.append(Clip(stem.relative_to(folder).as_posix(), str(video), label.name, group, boxes=own_boxes))
    return clips


def is_boxes(path: Path) -> bool:
    """True if the name is that of a video's person boxes."""
    return path.name.endswith(BOXES_SUFFIX)


def _group(video: Path, label: Path) -> str:
    """The folder of a video right below its class; UserError if it lies in the class itself."""
    inner = video.relative_to(label).parts
    if len(inner) == 1:
        raise UserError(
            f"dataset.options.groups: '{video}' lies in no folder below its class, which would be its group; "
            "move it into one, or leave the option out"
        )
    return inner[0]
