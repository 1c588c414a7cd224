"""Figures and videos of stored clips: frames, and flow and warped flow in colours."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from stp.data.index import Clip, Index
from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields, StoredFields
from stp.extraction.recipe import stored_rate
from stp.figures.explanations import CAPTION, VIDEO_HEIGHT, VIDEO_RATE, words_image
from stp.figures.style import PAGE, save_figure, styled
from stp.flow import bound_of, dequantise
from stp.flow.colours import colour_wheel, one_torch_thread
from stp.video.writing import video_writer

NAMES = {"rgb": "RGB", "of": "optical flow", "wof": "warped flow"}
COLUMNS = 6  # moments of a figure
KEY = 101  # pixels, side of the colour wheel beside the fields
LONGEST = (
    0.999  # quantile of the vectors' lengths that is shown in full colour; not the longest, which may be an outlier
)


def first_of_classes(index: Index, number: int) -> list[str]:
    """Ids of the first clip of each of the first `number` classes."""
    first: dict[str, str] = {}
    for clip in index.clips:
        if clip.label:
            first.setdefault(clip.label, clip.clip)
    return list(first.values())[:number]


def moments(length: int, number: int) -> np.ndarray:
    """At most `number` distinct places, evenly spread over 0..length - 1: int64 (n,), ascending."""
    return np.unique(((np.arange(number) + 0.5) * length / number).astype(np.int64))


def flow_fields(clip: StoredFields, places: np.ndarray, bound: float) -> np.ndarray:
    """Stored fields of flow at `places` (n,) as float32 (n, 2, H, W), pixels/frame."""
    return dequantise(np.asarray(clip[places]), bound)


def full_colour(flow: np.ndarray, bound: float) -> float:
    """The length in pixels/frame shown in full colour: the 99.9 % quantile of the lengths of `flow` (n, 2, H, W)."""
    return max(float(np.quantile(np.linalg.norm(flow, axis=1), LONGEST)), 2 * bound / 255)


def images(fields: ClipFields, clip: str, places: np.ndarray, full: float) -> list[np.ndarray]:
    """Frames, or fields in the colours of the wheel, at `places` (n,) of a clip: n of uint8 (H, W, 3)."""
    if not MODALITIES[fields.modality].is_flow:
        return list(np.asarray(fields[clip][places]).transpose(0, 2, 3, 1))
    return [colour_wheel(flow, full) for flow in flow_fields(fields[clip], places, bound_of(fields.parameters))]


def save_example(stem: Path, fields: Mapping[str, ClipFields], clip: Clip) -> None:
    """Write STEM.png, STEM.pdf and STEM.mp4 of a clip; `fields` by modality, RGB among them.

    All fields of flow share one scale of colours, which the figure shows. Flow field i is the motion from frame i to
    the next one.
    """
    streams = [fields[name] for name in NAMES if name in fields]
    length = min(len(stream[clip.clip]) for stream in streams)
    places, full = moments(length, COLUMNS), 0.0
    flows = [stream for stream in streams if MODALITIES[stream.modality].is_flow]
    if flows:
        bound = bound_of(flows[0].parameters)
        full = full_colour(flow_fields(flows[0][clip.clip], places, bound), bound)
    with one_torch_thread():
        _save_figure(stem, streams, clip, places, full)
        _save_video(stem.with_name(f"{stem.name}.mp4"), streams, clip, length, full)


def _save_figure(stem: Path, streams: Sequence[ClipFields], clip: Clip, places: np.ndarray, full: float) -> None:
    """A row per modality, a column per moment, and the wheel that explains the colours."""
    height, width = streams[0][clip.clip].shape[2:]
    columns = len(places) + (full > 0)
    panel = PAGE / (columns + 0.2)
    with styled([clip.clip]):
        size = (PAGE, len(streams) * panel * (height / width + 0.02) + 0.26)
        figure, grid = plt.subplots(len(streams), columns, figsize=size, squeeze=False)
        for axes, stream in zip(grid, streams, strict=True):
            for ax, image in zip(axes, images(stream, clip.clip, places, full), strict=False):
                ax.imshow(image, interpolation="nearest")
            axes[0].set_ylabel(NAMES[stream.modality])
        for ax in grid.flat:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, place in zip(grid[0], places, strict=False):
            ax.set_title(f"frame {place}", fontsize=7, pad=2)
        if full:
            _draw_key(grid[0, -1], grid[1, -1], full)
        figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        title = f"{clip.clip}: {', '.join(NAMES[stream.modality] for stream in streams)}"
        figure.suptitle(f"{clip.clip}, {len(streams[0][clip.clip])} frames from 0", fontsize=8)
        save_figure(stem, figure, title)


def _draw_key(wheel: Axes, words: Axes, full: float) -> None:
    """The wheel, on which the colour of a motion lies in its direction from the centre, and its scale below."""
    across = np.linspace(-1, 1, KEY, dtype=np.float32)
    disc = np.stack(np.meshgrid(across, across))
    image = colour_wheel(disc, 1.0)
    image[np.linalg.norm(disc, axis=0) > 1] = 255
    wheel.imshow(image)
    scale = f"direction: from the centre\nfull colour: {full:.2g}\npixels/frame"
    words.text(0.5, 0.95, scale, fontsize=6, ha="center", va="top", transform=words.transAxes)


def _save_video(path: Path, streams: Sequence[ClipFields], clip: Clip, length: int, full: float) -> None:
    """The streams side by side under their names, `length` moments in slow motion."""
    height, width = streams[0][clip.clip].shape[2:]
    scale = max(1, math.ceil(VIDEO_HEIGHT / height))
    size = scale * width // 2 * 2, scale * height // 2 * 2
    names = np.hstack([words_image(NAMES[stream.modality], size[0], CAPTION) for stream in streams])
    fps = stored_rate(streams[0].parameters)
    rate = min(VIDEO_RATE, fps / 2) if fps else VIDEO_RATE
    with video_writer(path, names.shape[1], CAPTION + size[1], rate, length) as video:
        for place in range(length):
            moment = [images(stream, clip.clip, np.array([place]), full)[0] for stream in streams]
            row = np.hstack([cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in moment])
            video.write(np.vstack([names, row]))
