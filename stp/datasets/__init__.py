"""Importers, one a data set: each finds the clips of its layout on disk. Only here is a data set known by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stp.data.index import Clip
from stp.datasets import demo, folder, hmdb51, ma52, pev, ut_interaction
from stp.errors import UserError


@dataclass(frozen=True)
class Importer:
    """How one layout is read.

    `find_clips` takes the folder of the videos, then, if `takes_lists`, that of the official lists (None where the user
    names none), and the options by name. `options` holds the values that each may have, the default first.
    """

    find_clips: Callable[..., list[Clip]]
    takes_lists: bool = False
    options: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)


IMPORTERS = {
    "demo": Importer(demo.find_clips),
    "folder": Importer(folder.find_clips),
    "ut_interaction": Importer(ut_interaction.find_clips),
    "pev": Importer(pev.find_clips, True, pev.OPTIONS),
    "hmdb51": Importer(hmdb51.find_clips, True, hmdb51.OPTIONS),
    "ma52": Importer(ma52.find_clips, True, ma52.OPTIONS),
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
    values = {}
    for option, word in (options or {}).items():
        if option not in importer.options:
            known = ", ".join(importer.options) or "none"
            raise UserError(f"dataset.options: importer '{name}' has no option '{option}'; allowed: {known}")
        allowed = {str(value).lower(): value for value in importer.options[option]}
        if word.lower() not in allowed:
            raise UserError(f"dataset.options.{option}: '{word}' is none of {', '.join(allowed)}")
        values[option] = allowed[word.lower()]
    if not importer.takes_lists:
        if lists:
            raise UserError(f"dataset.lists: importer '{name}' has no official lists; leave the key out")
        return importer.find_clips(videos, **values)
    if lists and not lists.is_dir():
        raise UserError(f"dataset.lists: folder '{lists}' does not exist; name the folder of the official lists")
    return importer.find_clips(videos, lists, **values)
