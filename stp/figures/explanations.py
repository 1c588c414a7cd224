"""Drawings of explanations: a figure like the paper's Figure 3, and a video of the whole clip."""

import math
import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import cm
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stp.explain.explanation import Explanation
from stp.figures.style import STYLE, save_figure, styled
from stp.system.versions import versions
from stp.video.writing import video_writer

LINES = ("frame", "Grad-CAM", "guided")
GAP = 0.06  # between images, of a frame's width
HEAT = "turbo"
# Inches of the figure: a page's width, unless there are many sub-segments.
PAGE, LABEL, TOP, BETWEEN, BOTTOM = 7.2, 1.6, 0.22, 0.24, 0.36
LETTERS = 24  # of a line beside the images
PANEL = (0.4, 1.2)  # least and greatest width of an image
OPACITY = 0.6  # of the strongest heat
VIDEO_RATE = 8.0  # frames per second: slow, for looking
VIDEO_HEIGHT = 256  # pixels, at least, of a frame in the video
CAPTION = 36  # pixels above it, two lines


def shares(maps: np.ndarray, quantile: float = 1.0) -> np.ndarray:
    """Maps divided by their value at that quantile, at most 1; maps that are 0 stay 0."""
    most = np.quantile(maps, quantile)
    scaled: np.ndarray = np.minimum(maps / most, 1) if most > 0 else np.zeros_like(maps)
    return scaled


def overlay(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Heat (H, W) of 0..1 over a frame (H, W, 3) uint8, which is made grey, so that all colour is heat: same shape."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = 255 * matplotlib.colormaps[HEAT](heat)[..., :3]
    opacity = OPACITY * np.minimum(2 * heat, 1)[..., None]
    return np.rint((1 - opacity) * grey + opacity * colours).astype(np.uint8)


def detail(guided: np.ndarray) -> np.ndarray:
    """Guided Grad-CAM (H, W) of 0..1 in grey, uint8 (H, W, 3)."""
    return np.rint(255 * matplotlib.colormaps["gray"](guided)[..., :3]).astype(np.uint8)


def columns(explanation: Explanation, number: int) -> list[int]:
    """The columns of a run's sub-segments, spread evenly over `number`, because runs have different numbers of them."""
    own = len(explanation.starts)
    return [(2 * i + 1) * number // (2 * own) for i in range(own)]


def montage(explanation: Explanation, frames: np.ndarray, number: int) -> np.ndarray:
    """A run's images for a clip's frames (T, H, W, 3): three lines of `number` columns on white, uint8 (h, w, 3)."""
    height, width = frames.shape[1:3]
    gap = max(1, round(GAP * width))
    image = np.full((3 * (height + gap) - gap, number * (width + gap) - gap, 3), 255, np.uint8)
    heat, guided = shares(explanation.heat), shares(explanation.guided, 0.999)
    for i, column in enumerate(columns(explanation, number)):
        frame = frames[min(explanation.frames[i], len(frames) - 1)]
        for line, part in enumerate((frame, overlay(frame, heat[i]), detail(guided[i]))):
            top, left = line * (height + gap), column * (width + gap)
            image[top : top + height, left : left + width] = part
    return image


def caption(explanation: Explanation) -> str:
    """The run's prediction of the clip: class and probability, and those of the explained class if it is another."""
    classes, probabilities = explanation.run.classes, explanation.probabilities
    predicted = int(explanation.scores.argmax())
    words = f"predicted {classes[predicted]} {probabilities[predicted]:.2f}"
    if predicted != explanation.target:
        words += f"\n{classes[explanation.target]} {probabilities[explanation.target]:.2f}"
    return words


def stream_name(explanation: Explanation) -> str:
    """Modality and variant of the run, such as `OF, 3-level`."""
    return f"{explanation.run.name.input.upper()}, {explanation.run.name.method}"


def draw(frames: np.ndarray, explanations: Sequence[Explanation], notes: Sequence[str], title: str) -> Figure:
    """The figure: a band of three lines for each run, a column for each sub-segment; `notes` has a note on each run."""
    number = max(len(explanation.starts) for explanation in explanations)
    height, width = frames.shape[1:3]
    panel = min(PANEL[1], max(PANEL[0], (PAGE - LABEL) / number / (1 + GAP)))
    band = 3 * panel * (height / width + GAP)
    size = (LABEL + number * panel * (1 + GAP), TOP + (band + BETWEEN) * len(explanations) + BOTTOM)
    figure = plt.figure(figsize=size)
    figure.text(0.02 / size[0], 1 - 0.04 / size[1], title, fontsize=9, va="top")
    for row, (explanation, note) in enumerate(zip(explanations, notes, strict=True)):
        bottom = BOTTOM + (len(explanations) - 1 - row) * (band + BETWEEN)
        box = (LABEL / size[0], bottom / size[1], 1 - LABEL / size[0], band / size[1])
        draw_band(figure.add_axes(box), frames, explanation, note, number, panel)
    box = (1 - 1.55 / size[0], 0.18 / size[1], 1.5 / size[0], 0.06 / size[1])
    bar = figure.colorbar(
        cm.ScalarMappable(cmap=HEAT), cax=figure.add_axes(box), orientation="horizontal", ticks=[0, 1]
    )
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    figure.text(
        1 - 1.65 / size[0],
        0.21 / size[1],
        "Grad-CAM as a share of the run's largest",
        fontsize=7,
        ha="right",
        va="center",
    )
    return figure


def draw_band(ax: Axes, frames: np.ndarray, explanation: Explanation, note: str, number: int, panel: float) -> None:
    """A run's images in `number` columns of `panel` inches, with the frames of its sub-segments above."""
    height, width = frames.shape[1:3]
    gap = max(1, round(GAP * width))
    ax.imshow(montage(explanation, frames, number), interpolation="lanczos", aspect="auto")
    ax.set_axis_off()
    inch = width / panel
    for i, column in enumerate(columns(explanation, number)):
        first = explanation.starts[i]
        words = f"{first}–{first + explanation.subsegment_length - 1}"
        ax.text(column * (width + gap) + width / 2, -0.03 * inch, words, ha="center", va="bottom", fontsize=7)
    for line, name in enumerate(LINES):
        middle = line * (height + gap) + height / 2
        ax.text(-0.04 * inch, middle, name, ha="right", va="center", fontsize=7)
    left = -(LABEL - 0.02) * inch
    ax.text(left, -0.03 * inch, stream_name(explanation), ha="left", va="bottom", fontsize=8, weight="bold")
    lines = [*caption(explanation).splitlines(), note]
    words = "\n".join(textwrap.fill(line, LETTERS) for line in lines if line)
    ax.text(left, 0, words, ha="left", va="top", fontsize=7, linespacing=1.4)


def subsegments_at(explanation: Explanation, frame: int) -> np.ndarray:
    """Numbers of the sub-segments that contain a frame: none, one, or several that overlap."""
    ends = explanation.starts + explanation.subsegment_length
    return np.flatnonzero((explanation.starts <= frame) & (frame < ends))


def words_image(words: str, width: int, height: int) -> np.ndarray:
    """Words in black on white, uint8 (height, width, 3)."""
    with styled([words], []):
        figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
        figure.text(4 / width, 0.5, words, fontsize=8.5, va="center")
        figure.canvas.draw()
        image = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
        plt.close(figure)
    return image


def video_size(frames: np.ndarray, runs: int) -> tuple[int, int, int, int]:
    """Height and width of a frame in the video, both even, and rows and columns of the runs' places."""
    height, width = frames.shape[1:3]
    scale = max(1, math.ceil(VIDEO_HEIGHT / height))
    columns = math.ceil(math.sqrt(runs))
    return scale * height // 2 * 2, scale * width // 2 * 2, math.ceil(runs / columns), columns


def save_video(path: Path, frames: np.ndarray, explanations: Sequence[Explanation]) -> None:
    """Write the clip's frames (T, H, W, 3) uint8, once for each run, under its heat.

    A frame's heat is the mean over the sub-segments that contain it. A frame in none, which the run never saw, is dark.
    """
    height, width, rows, columns = video_size(frames, len(explanations))
    canvas = np.full((rows * (height + CAPTION), columns * width, 3), 255, np.uint8)
    heats = [shares(explanation.heat) for explanation in explanations]
    places = [((i // columns) * (height + CAPTION), i % columns * width) for i in range(len(explanations))]
    for explanation, (top, left) in zip(explanations, places, strict=True):
        words = f"{stream_name(explanation)}, {caption(explanation)}"
        canvas[top : top + CAPTION, left : left + width] = words_image(words, width, CAPTION)
    with video_writer(path, canvas.shape[1], canvas.shape[0], VIDEO_RATE, len(frames)) as video:
        for number, frame in enumerate(frames):
            for explanation, heat, (top, left) in zip(explanations, heats, places, strict=True):
                chosen = subsegments_at(explanation, number)
                image = overlay(frame, heat[chosen].mean(0)) if len(chosen) else frame // 3
                large = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
                canvas[top + CAPTION : top + CAPTION + height, left : left + width] = large
            video.write(canvas)


def save_explanations(
    stem: Path,
    frames: np.ndarray,
    explanations: Sequence[Explanation],
    notes: Sequence[str],
    parameters: dict[str, Any],
) -> None:
    """Write STEM.png, STEM.pdf and STEM.mp4 of a clip; `notes` as for `draw`, `parameters` have its id as `clip`.

    The figure's metadata hold the parameters, runs, classes and versions as JSON.
    """
    classes = [explanation.run.classes[explanation.target] for explanation in explanations]
    runs = {"runs": [str(explanation.run.name) for explanation in explanations], "classes": classes}
    explained = f"class {classes[0]}" if len(set(classes)) == 1 else "the classes predicted"
    title = f"{parameters['clip']}: guided Grad-CAM of {explained}"
    made_with = {"versions": versions() | {"captum": version("captum")}}
    words = [title, *notes, *map(caption, explanations)]
    with styled(words, [STYLE, {"figure.constrained_layout.use": False}]):  # every place is computed
        save_figure(stem, draw(frames, explanations, notes, title), title, parameters | runs | made_with)
    save_video(stem.with_name(f"{stem.name}.mp4"), frames, explanations)
