"""Cumulative displacement of first-person video (Poleg, Arora and Peleg, CVPR 2014).

How far the scene in each cell of a coarse grid has moved since the clip began shows how the head that wears the camera
turns. Each cell has one Lucas-Kanade displacement from every frame to the next, of the point in its centre. What is not
valid is cleaned as by the authors' program (Util.m of EgoSeg).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from stp.config import check_range
from stp.data.shards import ClipFields
from stp.features import Features
from stp.system.devices import Compute
from stp.system.progress import progress
from stp.video.clip import grey

MOST = 50  # pixels a frame, above which a displacement is not valid whatever the size of the cells
FEWEST = 3  # valid displacements of a cell, without which it has none


@dataclass(frozen=True)
class DisplacementOptions:
    """The grid of cells, and the side of the window that Lucas-Kanade compares, in pixels, on each of its 4 scales."""

    columns: int = 10
    rows: int = 5
    window: int = 21

    def __post_init__(self) -> None:
        check_range("columns", [self.columns], 1, 100)
        check_range("rows", [self.rows], 1, 100)
        check_range("window", [self.window], 3, 1000)


def cell_centres(width: int, height: int, options: DisplacementOptions) -> np.ndarray:
    """The centres of the cells of frames of this size, row by row: float32 (cells, 2), x and y in pixels."""
    x = (np.arange(options.columns) + 0.5) * width / options.columns - 0.5
    y = (np.arange(options.rows) + 0.5) * height / options.rows - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)


def cell_displacements(frames: Iterable[np.ndarray], options: DisplacementOptions) -> tuple[np.ndarray, np.ndarray]:
    """How far each cell's centre moves from every frame to the next, and whether Lucas-Kanade found it again.

    Args:
        frames: T grey frames, uint8 (height, width).
        options: the grid and the window.

    Returns:
        float32 (T - 1, cells, 2), x and y in pixels, and bool (T - 1, cells).
    """
    moved, found = [], []
    for before, after in pairwise(frames):
        centres = cell_centres(before.shape[1], before.shape[0], options)
        window = (options.window, options.window)
        points, status, _ = cv2.calcOpticalFlowPyrLK(before, after, centres, np.empty_like(centres), winSize=window)
        moved.append(np.asarray(points) - centres)
        found.append(np.asarray(status)[:, 0] == 1)
    cells = options.columns * options.rows
    return np.array(moved, np.float32).reshape(-1, cells, 2), np.array(found, bool).reshape(-1, cells)


def cleaned(displacements: np.ndarray, found: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
    """Displacements without those that are not valid: float64 (n, cells, 2).

    Valid ones were found, and both x and y are smaller than the cell and than 50 pixels. Others are interpolated over
    time between the cell's valid ones, and take the nearest of them at the ends. A cell with fewer than 3 valid ones
    has none.

    Args:
        displacements: (n, cells, 2), x and y in pixels.
        found: bool (n, cells).
        cell: width and height of a cell, pixels.
    """
    valid = found & (np.abs(displacements) < np.minimum(cell, MOST)).all(-1)
    clean = np.zeros(displacements.shape)
    times = np.arange(len(displacements))
    for number in range(displacements.shape[1]):
        kept = np.flatnonzero(valid[:, number])
        if len(kept) < FEWEST:
            continue
        for axis in (0, 1):
            clean[:, number, axis] = np.interp(times, kept, displacements[kept, number, axis])
    return clean


def cumulative_displacement(
    frames: Iterable[np.ndarray], size: tuple[int, int], options: DisplacementOptions
) -> np.ndarray:
    """The displacement of each cell from the first frame to each: float32 (T, 2 x cells), all of x, then all of y.

    x is a fraction of the frames' width, y of their height; the first row is 0.

    Args:
        frames: T grey frames, uint8 (height, width).
        size: their width and height.
        options: the grid and the window.
    """
    width, height = size
    displacements, found = cell_displacements(frames, options)
    steps = cleaned(displacements, found, (width / options.columns, height / options.rows)) / size
    start = np.zeros((1, *steps.shape[1:]))
    sums = np.concatenate([start, steps.cumsum(0)])  # (T, cells, 2)
    return sums.transpose(0, 2, 1).reshape(len(sums), -1).astype(np.float32)


def extract(
    options: DisplacementOptions, sources: Mapping[str, ClipFields], compute: Compute
) -> Iterator[tuple[str, np.ndarray]]:
    """The id and the cumulative displacement of each clip's first-person video, float32 (T, 2 x cells)."""
    fields = sources["first"]
    for clip in progress(fields.clips(), desc="displacement", unit="clip"):
        _, _, height, width = fields.shape(clip)
        yield clip, cumulative_displacement(grey(fields[clip]), (width, height), options)


FEATURES = Features(DisplacementOptions, extract)
