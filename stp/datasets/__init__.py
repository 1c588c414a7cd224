"""Importers, one a data set: each finds the clips of its layout on disk. Only here is a data set known by name."""

from collections.abc import Callable
from pathlib import Path

from stp.datasets import demo, folder, ut_interaction
from stp.index import Clip

IMPORTERS: dict[str, Callable[[Path], list[Clip]]] = {
    "demo": demo.find_clips,
    "folder": folder.find_clips,
    "ut_interaction": ut_interaction.find_clips,
}
