"""The paper's Figure 4: a clip of every class, a column each, with frames from its beginning to its end below."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from stp.data.index import Clip, Index
from stp.data.shards import ClipFields
from stp.figures.clips import moments
from stp.figures.style import PAGE, STYLE, save_figure, styled

ROWS = 4  # frames of a clip
MOST, FEWEST = 10, 5  # columns beside each other: no more, and the width of as many, so that no image is too large
GAP, LINE, BETWEEN = 0.03, 0.12, 0.1  # inches: between images, of a line of text, between bands of columns
LETTERS = 17  # of a line, for each inch
LINES = 4  # of a class's name, at most


def bands(number: int) -> list[range]:
    """The columns of each band, as many in each as can be: 52 columns are 6 bands of 9 and, the last, 7."""
    count = math.ceil(number / MOST)
    width = math.ceil(number / count)
    return [range(first, min(first + width, number)) for first in range(0, number, width)]


def one_of_each_class(index: Index) -> list[Clip]:
    """A clip of each class, by different people where groups are known: class k takes the first clip of its group k.

    Groups are counted as they first appear in the class, and from the beginning again after the last.
    """
    first: dict[str, dict[str, Clip]] = {label: {} for label in index.classes}
    for clip in index.clips:
        if clip.label:
            first[clip.label].setdefault(clip.group, clip)
    return [list(groups.values())[k % len(groups)] for k, groups in enumerate(first.values())]


def head(label: str, width: float) -> str:
    """A class's name in lines of `width` inches; the end of a very long one is left out."""
    return "\n".join(textwrap.wrap(label, int(LETTERS * width), max_lines=LINES, placeholder="…"))


def draw(clips: Sequence[Clip], fields: ClipFields) -> Figure:
    """The figure: `ROWS` frames of each clip, evenly spread over it, below the name of its class."""
    height, width = fields.shape(clips[0].clip)[2:]
    groups = bands(len(clips))
    panel = PAGE / max(FEWEST, len(groups[0])) - GAP
    tall = panel * height / width
    heads = [head(clip.label, panel) for clip in clips]
    tops = [LINE * (0.5 + max(heads[i].count("\n") + 1 for i in group)) for group in groups]
    size = (len(groups[0]) * (panel + GAP), sum(tops) + len(groups) * (ROWS * (tall + GAP) + BETWEEN))
    figure = plt.figure(figsize=size)
    upper = 0.0
    for group, top in zip(groups, tops, strict=True):
        upper += top
        for column, number in enumerate(group):
            left, clip = column * (panel + GAP), fields[clips[number].clip]
            middle, above = (left + panel / 2) / size[0], 1 - (upper - 0.03) / size[1]
            figure.text(middle, above, heads[number], fontsize=7, ha="center", va="bottom", linespacing=1.0)
            for row, frame in enumerate(np.asarray(clip[moments(len(clip), ROWS)]).transpose(0, 2, 3, 1)):
                bottom = 1 - (upper + row * (tall + GAP) + tall) / size[1]
                ax = figure.add_axes((left / size[0], bottom, panel / size[0], tall / size[1]))
                ax.imshow(frame, interpolation="lanczos", aspect="auto")
                ax.set_axis_off()
        upper += ROWS * (tall + GAP) + BETWEEN
    return figure


def save_figure4(stem: Path, clips: Sequence[Clip], fields: ClipFields) -> str:
    """Write STEM.png and STEM.pdf of clips of different classes and return their title; `fields` are frames."""
    classes = [clip.label for clip in clips]
    title = f"Figure 4: a clip of each of the {len(clips)} classes: {', '.join(clip.clip for clip in clips)}"
    with styled(classes, [STYLE, {"figure.constrained_layout.use": False}]):  # every place is computed
        save_figure(stem, draw(clips, fields), title)
    return title
