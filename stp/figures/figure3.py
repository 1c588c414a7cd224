"""The paper's Figure 3: where runs see the classes of a few clips, by guided Grad-CAM, a column for each clip."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import cm
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from stp.data.index import Clip
from stp.explain.explanation import Explanation
from stp.figures.explanations import HEAT, detail, overlay, shares, stream_name
from stp.figures.style import PAGE, STYLE, save_figure, styled
from stp.system.versions import versions

# Inches: the names of runs, the widest column, gaps between columns and between images, a line of text, the colour bar.
LABEL, WIDEST, BETWEEN, GAP, LINE, BAR = 0.55, 2.4, 0.1, 0.03, 0.13, 0.34
LETTERS = 19  # of a line, for each inch
RIGHT, WRONG = "#009E73", "#D55E00"  # as in paper.mplstyle
NUMBER = {"fontsize": 6, "color": "white", "path_effects": [withStroke(linewidth=1, foreground="black")]}


@dataclass(frozen=True, eq=False)
class ExplainedClip:
    """A clip, its frames (T, H, W, 3) uint8, and how each run explains it; all clips of a figure have the same runs."""

    clip: Clip
    frames: np.ndarray
    explanations: Sequence[Explanation]


def is_right(explanation: Explanation) -> bool:
    """True if the run predicts the class that is explained."""
    return int(explanation.scores.argmax()) == explanation.target


def strongest(explanation: Explanation) -> tuple[int, int]:
    """The number of the sub-segment in which a run's Grad-CAM is strongest, and the frame that stands for it."""
    number = int(explanation.heat.max((1, 2)).argmax())
    return number, int(explanation.frames[number])


def verdict(explanation: Explanation) -> str:
    """The run's verdict, the class that it predicts and its probability, as in `right: wave 0.92`."""
    number = int(explanation.scores.argmax())
    word = "right" if is_right(explanation) else "wrong"
    return f"{word}: {explanation.run.classes[number]} {explanation.probabilities[number]:.2f}"


def title(shown: Sequence[ExplainedClip], seed: int) -> str:
    """The caption: how the clips were picked, and for each clip which runs are right."""
    runs = [explanation.run.name for explanation in shown[0].explanations]
    folds = " and ".join(dict.fromkeys(str(run.fold) for run in runs))
    parts = []
    for each in shown:
        right = [stream_name(explanation) for explanation in each.explanations if is_right(explanation)]
        wrong = [stream_name(explanation) for explanation in each.explanations if not is_right(explanation)]
        words = [f"{word} {'; '.join(names)}" for word, names in (("right:", right), ("wrong:", wrong)) if names]
        parts.append(f"{each.clip.clip} ({each.clip.label}; {'; '.join(words)})")
    return (
        f"Figure 3: guided Grad-CAM of clips that the runs of fold {folds} did not see, picked by seed {seed}: "
        f"{', '.join(parts)}"
    )


def draw(shown: Sequence[ExplainedClip]) -> Figure:
    """The figure: below a frame of each clip, a row for each run: Grad-CAM and guided Grad-CAM where it is strongest.

    The frame is that of the last run's row.
    """
    height, width = shown[0].frames.shape[1:3]
    column = min(WIDEST, (PAGE - LABEL) / len(shown) - BETWEEN)
    panel = (column - GAP) / 2
    letters = int(LETTERS * column)
    heads = [(textwrap.wrap(each.clip.label, letters), textwrap.wrap(each.clip.clip, letters)) for each in shown]
    verdicts = [[textwrap.wrap(verdict(each), letters) for each in clip.explanations] for clip in shown]
    top = LINE * (1 + max(len(label) + len(name) for label, name in heads))
    rows = [LINE * (0.5 + max(len(lines) for lines in row)) for row in zip(*verdicts, strict=True)]  # heights of words
    tall, large = panel * height / width, column * height / width
    size = (LABEL + len(shown) * (column + BETWEEN), top + large + sum(rows) + len(rows) * (tall + GAP) + BAR)
    figure = plt.figure(figsize=size)

    def show(image: np.ndarray, left: float, upper: float, wide: float) -> None:
        """Draw an image with these distances, in inches, from the left and upper sides, and this width."""
        high = wide * height / width
        box = (left / size[0], 1 - (upper + high) / size[1], wide / size[0], high / size[1])
        ax = figure.add_axes(box)
        ax.imshow(image, interpolation="lanczos", aspect="auto")
        ax.set_axis_off()

    def write(words: str, left: float, upper: float, **style: Any) -> None:
        figure.text(left / size[0], 1 - upper / size[1], words, linespacing=1.1, **style)

    for number, (clip, (label, name)) in enumerate(zip(shown, heads, strict=True)):
        left = LABEL + number * (column + BETWEEN)
        last = min(strongest(clip.explanations[-1])[1], len(clip.frames) - 1)
        write("\n".join(label), left, 0, fontsize=8, weight="bold", va="top")
        write("\n".join([*name, f"frame {last}"]), left, LINE * len(label), fontsize=7, va="top")
        show(clip.frames[last], left, top, column)
        upper = top + large
        for explanation, lines, words_height in zip(clip.explanations, verdicts[number], rows, strict=True):
            upper += words_height
            colour = RIGHT if is_right(explanation) else WRONG
            write("\n".join(lines), left, upper - 0.02, fontsize=7, va="bottom", color=colour)
            chosen, place = strongest(explanation)
            frame = clip.frames[min(place, len(clip.frames) - 1)]
            show(overlay(frame, shares(explanation.heat[chosen])), left, upper, panel)
            show(detail(shares(explanation.guided[chosen], 0.999)), left + panel + GAP, upper, panel)
            write(f"frame {place}", left + column - 0.03, upper + tall - 0.03, ha="right", **NUMBER)
            if number == 0:
                stream, variant = explanation.run.name.input.upper(), explanation.run.name.method
                write(f"{stream}\n{variant}", 0, upper + tall / 2, fontsize=8, va="center")
            upper += tall + GAP
    _draw_bar(figure, size)
    return figure


def _draw_bar(figure: Figure, size: tuple[float, float]) -> None:
    """The colour bar, and in words what is on the left and on the right."""
    box = (LABEL / size[0], 0.15 / size[1], 0.6 / size[0], 0.06 / size[1])
    axes = figure.add_axes(box)
    bar = figure.colorbar(cm.ScalarMappable(cmap=HEAT), cax=axes, orientation="horizontal", ticks=[0, 1])
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    words = (
        "left: Grad-CAM of the clip's class, as a share of its largest value; right: guided Grad-CAM; "
        "each run where its Grad-CAM is strongest"
    )
    figure.text((LABEL + 0.7) / size[0], 0.18 / size[1], words, fontsize=7, va="center")


def save_figure3(stem: Path, shown: Sequence[ExplainedClip], parameters: dict[str, Any]) -> str:
    """Write STEM.png and STEM.pdf and return their title; `parameters` have the `seed` that picked the clips.

    The figure's metadata hold the parameters, clips, runs and versions as JSON.
    """
    words = title(shown, parameters["seed"])
    made_of = {
        "clips": [each.clip.clip for each in shown],
        "runs": [str(explanation.run.name) for explanation in shown[0].explanations],
        "versions": versions() | {"captum": version("captum")},
    }
    texts = [words, *(verdict(explanation) for each in shown for explanation in each.explanations)]
    with styled(texts, [STYLE, {"figure.constrained_layout.use": False}]):  # every place is computed
        save_figure(stem, draw(shown), words, parameters | made_of)
    return words


def save_reason(stem: Path, reason: str) -> None:
    """Write STEM.png and STEM.pdf that say why there is no Figure 3."""
    words = f"No Figure 3: {reason}. explain.number: 0 leaves it out."
    with styled([words]):
        figure = plt.figure(figsize=(PAGE, 0.5))
        figure.text(0.01, 0.5, textwrap.fill(words, int(LETTERS * PAGE)), va="center")
        save_figure(stem, figure, words)
