"""Importers, one a data set: each finds the clips of its layout on disk. Only here is a data set known by name."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stp.data.index import Clip
from stp.datasets import demo, folder, hmdb51, ma52, own_list, pev, ut_interaction
from stp.errors import UserError
from stp.system.files import visible_files
from stp.video.decoding import is_video

NAMED = 5  # files that a line names


@dataclass(frozen=True)
class Importer:
    """How one layout is read.

    `find_clips` takes the folder of the videos, then, unless `lists` is none, what `dataset.lists` names, a folder of
    official lists or a file (None where the user names none), and the options by name. `options` holds the values that
    each may have, the default first, or none where any text will do. `named_files` takes the folder and the lists, and
    returns the files that the lists name by paths, which may lie outside the folder.
    """

    find_clips: Callable[..., list[Clip]]
    lists: Literal["none", "folder", "file"] = "none"
    options: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    named_files: Callable[[Path, Path], Sequence[Path]] = lambda videos, lists: ()


IMPORTERS = {
    "demo": Importer(demo.find_clips),
    "folder": Importer(folder.find_clips, "file", folder.OPTIONS),
    "list": Importer(own_list.find_clips, "file", named_files=own_list.named_files),
    "ut_interaction": Importer(ut_interaction.find_clips),
    "pev": Importer(pev.find_clips, "folder", pev.OPTIONS),
    "hmdb51": Importer(hmdb51.find_clips, "folder", hmdb51.OPTIONS),
    "ma52": Importer(ma52.find_clips, "folder", ma52.OPTIONS),
}


def find_clips(
    name: str, videos: Path, lists: Path | None = None, options: Mapping[str, str] | None = None
) -> list[Clip]:
    """The clips that the importer `name` finds; option values are words, as `true`.

    Raises:
        UserError: there is no such importer, list folder, option or value, or the importer finds a mistake on disk.
    """
    if name not in IMPORTERS:
        raise UserError(f"dataset.importer: '{name}' is unknown; allowed are {', '.join(IMPORTERS)}")
    importer = IMPORTERS[name]
    values: dict[str, str | bool] = {}
    for option, word in (options or {}).items():
        if option not in importer.options:
            known = ", ".join(importer.options) or "none"
            raise UserError(f"dataset.options: importer '{name}' has no option '{option}'; allowed: {known}")
        if not importer.options[option]:
            values[option] = word
            continue
        allowed = {str(value).lower(): value for value in importer.options[option]}
        if word.lower() not in allowed:
            raise UserError(f"dataset.options.{option}: '{word}' is none of {', '.join(allowed)}")
        values[option] = allowed[word.lower()]
    if importer.lists == "none":
        if lists:
            raise UserError(f"dataset.lists: importer '{name}' has no official lists; leave the key out")
        return importer.find_clips(videos, **values)
    if lists and importer.lists == "folder" and not lists.is_dir():
        raise UserError(f"dataset.lists: folder '{lists}' does not exist; name the folder of the official lists")
    return importer.find_clips(videos, lists, **values)


@dataclass(frozen=True)
class LeftOut:
    """The visible files below a data set's folder that are no clips: videos, and files that are none by their names."""

    videos: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()

    def __str__(self) -> str:
        """One line, with the number of files and the names of the first; empty where nothing is left out."""
        kinds = ((self.videos, "videos that are no clips"), (self.others, "files that are no videos by their names"))
        return "; ".join(f"{kind} ({len(paths)}): {_some(paths)}" for paths, kind in kinds if paths)


def left_out(videos: Path, clips: Iterable[Clip], lists: Path | None = None) -> LeftOut:
    """The files below the folder of the videos that are neither a clip's video or boxes nor below `lists`."""
    named = (path for clip in clips for path in (clip.path, clip.boxes, clip.first_person) if path)
    used = {os.path.abspath(path) for path in named}
    listed = (Path(os.path.abspath(lists)),) if lists else ()
    found = [path for path in visible_files(videos) if os.path.abspath(path) not in used]
    files = [path for path in found if not any(Path(os.path.abspath(path)).is_relative_to(where) for where in listed)]
    return LeftOut(tuple(path for path in files if is_video(path)), tuple(path for path in files if not is_video(path)))


def _some(paths: Sequence[Path]) -> str:
    """The first paths, and the number of those that are not named."""
    named = ", ".join(f"'{path}'" for path in paths[:NAMED])
    return named if len(paths) <= NAMED else f"{named} and {len(paths) - NAMED} more"
