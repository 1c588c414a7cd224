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
HEAT = "inferno"  # perceptually uniform, and clear on grey for the colour-blind
# Inches of the figure, a page's width.
PAGE, LABEL, TOP, BETWEEN, BOTTOM = 7.2, 1.3, 0.22, 0.24, 0.42
LETTERS = 20  # of a line beside the images
MOST_COLUMNS = 6  # sub-segments beside each other; those of a run that has more go on below
WIDEST = 1.2  # inches of an image
OPACITY = 0.6  # of the strongest heat
VIDEO_RATE = 8.0  # frames per second: slow, for looking
VIDEO_HEIGHT = 256  # pixels, at least, of a frame in the video
CAPTION = 36  # pixels above it, two lines
SCALE = 24  # pixels below all frames, of the colours' scale


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


def columns(chosen: int, number: int) -> list[int]:
    """The columns of some sub-segments, spread evenly over `number`, because runs have different numbers of them."""
    return [(2 * i + 1) * number // (2 * chosen) for i in range(chosen)]


def rows(explanation: Explanation) -> list[np.ndarray]:
    """The numbers of a run's sub-segments, in rows that are as even as can be, of MOST_COLUMNS at most."""
    own = len(explanation.starts)
    return np.array_split(np.arange(own), -(-own // MOST_COLUMNS))


def montage(explanation: Explanation, frames: np.ndarray, number: int, chosen: np.ndarray) -> np.ndarray:
    """A run's images for a clip's frames (T, H, W, 3) on white, uint8 (h, w, 3): three lines of `number` columns.

    They are those of the chosen sub-segments, by their numbers.
    """
    height, width = frames.shape[1:3]
    gap = max(1, round(GAP * width))
    image = np.full((3 * (height + gap) - gap, number * (width + gap) - gap, 3), 255, np.uint8)
    heat, guided = shares(explanation.heat), shares(explanation.guided, 0.999)
    for i, column in zip(chosen, columns(len(chosen), number), strict=True):
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
    """The figure: for each run a band of three lines, or several, with a column for each sub-segment.

    `notes` has a note on each run.
    """
    bands = [
        (explanation, note, chosen)
        for explanation, note in zip(explanations, notes, strict=True)
        for chosen in rows(explanation)
    ]
    number = max(len(chosen) for _, _, chosen in bands)
    height, width = frames.shape[1:3]
    panel = min(WIDEST, (PAGE - LABEL) / number / (1 + GAP))
    band = 3 * panel * (height / width + GAP)
    size = (LABEL + number * panel * (1 + GAP), TOP + (band + BETWEEN) * len(bands) + BOTTOM)
    figure = plt.figure(figsize=size)
    figure.text(0.02 / size[0], 1 - 0.04 / size[1], title, fontsize=9, va="top")
    for place, (explanation, note, chosen) in enumerate(bands):
        bottom = BOTTOM + (len(bands) - 1 - place) * (band + BETWEEN)
        box = (LABEL / size[0], bottom / size[1], 1 - LABEL / size[0], band / size[1])
        axes = figure.add_axes(box)
        draw_band(axes, frames, explanation, number, chosen, panel)
        if chosen[0] == 0:
            name_band(axes, explanation, note, width / panel)
    box = (LABEL / size[0], 0.2 / size[1], 1.5 / size[0], 0.08 / size[1])
    bar = figure.colorbar(
        cm.ScalarMappable(cmap=HEAT), cax=figure.add_axes(box), orientation="horizontal", ticks=[0, 0.25, 0.5, 0.75, 1]
    )
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    words = "Grad-CAM as a share of the run's largest value"
    figure.text((LABEL + 1.6) / size[0], 0.24 / size[1], words, fontsize=7, va="center")
    return figure


def draw_band(
    ax: Axes, frames: np.ndarray, explanation: Explanation, number: int, chosen: np.ndarray, panel: float
) -> None:
    """The images of a run's chosen sub-segments in `number` columns of `panel` inches, with their frames above."""
    height, width = frames.shape[1:3]
    gap = max(1, round(GAP * width))
    ax.imshow(montage(explanation, frames, number, chosen), interpolation="lanczos", aspect="auto")
    ax.set_axis_off()
    inch = width / panel
    for i, column in zip(chosen, columns(len(chosen), number), strict=True):
        first = explanation.starts[i]
        words = f"{first}–{first + explanation.subsegment_length - 1}"
        ax.text(column * (width + gap) + width / 2, -0.03 * inch, words, ha="center", va="bottom", fontsize=7)
    for line, name in enumerate(LINES):
        middle = line * (height + gap) + height / 2
        ax.text(-0.04 * inch, middle, name, ha="right", va="center", fontsize=7)


def name_band(ax: Axes, explanation: Explanation, note: str, inch: float) -> None:
    """Write the run's name, its prediction and the note beside its first images; an inch has so many pixels."""
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


def scale_image(width: int) -> np.ndarray:
    """The scale of the heat's colours with its words, uint8 (SCALE, width, 3)."""
    image = words_image("Grad-CAM: 0", width, SCALE)
    left, right = min(80, width // 3), min(240, 3 * width // 4)
    colours = 255 * matplotlib.colormaps[HEAT](np.linspace(0, 1, right - left))[:, :3]
    image[SCALE // 4 : 3 * SCALE // 4, left:right] = np.rint(colours).astype(np.uint8)
    end = words_image("1, the run's largest value", width - right, SCALE)
    image[:, right:] = end
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
    canvas = np.full((rows * (height + CAPTION) + SCALE, columns * width, 3), 255, np.uint8)
    canvas[-SCALE:] = scale_image(canvas.shape[1])
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
