"""The look of all figures, and how they are written: as vector pdf and as png.

The look is in `paper.mplstyle`. Sizes are those on paper. Names of clips and classes may be in any script: letters that
the look's font lacks are drawn in other fonts of the machine.
"""

import json
import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from stp.system.files import complete_file
from stp.system.versions import versions

log = logging.getLogger("stp")
plt.rcParams["text.parse_math"] = False  # names of clips and classes may hold $
STYLE = "stp.figures.paper"
COLUMN, PAGE = 3.5, 7.16  # inches
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")  # scripts, as Unicode names them


@contextmanager
def styled(words: Iterable[str], style: Sequence[str | dict[str, Any]] = (STYLE,)) -> Iterator[None]:
    """Figures of the block have this style, and fonts for all letters of the words that they show.

    Nothing changes for words that the style's own font can write. Letters that no font has are logged once.
    """
    letters = {letter for text in words for letter in text if unicodedata.category(letter)[0] not in "CZ"}
    with plt.style.context(list(style)):
        own = font_manager.findfont(font_manager.FontProperties())
        families = _families(frozenset(letters - _letters(own)))
        with plt.rc_context(), warnings.catch_warnings():
            if families:
                plt.rcParams["font.family"] = [font_manager.get_font(own).family_name, *families]
            # matplotlib's own, one for each glyph and file
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield


@cache
def _letters(path: str) -> frozenset[str]:
    """The letters that a font file has."""
    return frozenset(map(chr, font_manager.get_font(path).get_charmap()))


@cache
def _families(letters: frozenset[str]) -> tuple[str, ...]:
    """Font families that together have the letters, as few as are found at once; matplotlib's own come first."""
    missing, families = set(letters), []
    if not missing:
        return ()
    for path in _font_files():
        if found := missing & _letters(path):
            families.append(font_manager.get_font(path).family_name)
            missing -= found
        if not missing:
            return tuple(families)
    for letter in sorted(missing):
        _report(unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0])
    return tuple(families)


@cache
def _report(script: str) -> None:
    """Log, once a script, that no font has its letters."""
    package = "fonts-noto-cjk" if script in EAST_ASIAN else "fonts-noto-core"
    log.warning(
        "figures show boxes for %s letters, which no font here has; install one, such as the package %s",
        script,
        package,
    )


def _font_files() -> Iterator[str]:
    """Upright regular fonts: DejaVu Sans, then all that matplotlib knows, then those installed since it looked."""
    manager = font_manager.fontManager
    yield manager.findfont("DejaVu Sans")
    yield from _regular(manager.ttflist)
    listed = {entry.fname for entry in manager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - listed):
        with suppress(OSError, RuntimeError):  # not a font that matplotlib can read
            manager.addfont(path)
    yield from _regular(entry for entry in manager.ttflist if entry.fname not in listed)


def _regular(entries: Iterable[font_manager.FontEntry]) -> list[str]:
    """The files of upright fonts of normal weight, by name, without the one that has a box for every letter."""
    chosen = [entry for entry in entries if entry.style == "normal" and entry.weight in (400, "normal", "regular")]
    return [e.fname for e in sorted(chosen, key=lambda e: (e.name, e.fname)) if not e.name.startswith("Last Resort")]


def save_figure(stem: Path, figure: Figure, title: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Write STEM.png and STEM.pdf and close the figure.

    Their metadata hold the title and, as JSON, the parameters, or the versions if there are none. They hold no dates,
    so that the files have the same bytes whenever they are made.
    """
    text = json.dumps({"versions": versions()} if parameters is None else dict(parameters), sort_keys=True)
    kinds: dict[str, dict[str, str | None]] = {
        "png": {"Title": title, "Description": text, "Software": None},
        "pdf": {"Title": title, "Subject": text, "CreationDate": None},
    }
    try:
        for kind, metadata in kinds.items():
            with complete_file(stem.with_name(f"{stem.name}.{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=300, metadata=metadata)
    finally:
        plt.close(figure)
