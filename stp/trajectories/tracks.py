"""Tracks of one layer: sampled densely, moved by the flow, described in every frame, and accepted or rejected.

Compiled. A track lies in a slot of fixed size from its first to its last point, because moving what is known of it
would cost as much as describing it. No layer sees another one, and nothing depends on threads.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

from stp.system.compilation import compiled
from stp.trajectories.histograms import DESCRIPTOR, describe
from stp.trajectories.parameters import LENGTH, TIME_CELLS, TrajectoryParameters

FRAMES_OF_CELL = LENGTH // TIME_CELLS

kernel = njit(nogil=True, error_model="numpy")


class Slots(NamedTuple):
    """The state of the tracks in n slots."""

    points: np.ndarray  # (n, LENGTH + 1, 2) float32, pixels of the layer
    displacements: np.ndarray  # (n, LENGTH, 2) float32, of the flow without the camera's motion
    descriptors: np.ndarray  # (n, TIME_CELLS, DESCRIPTOR) float32, sums over the frames of a temporal cell
    steps: np.ndarray  # (n,) int32, done so far


def empty_slots(count: int) -> Slots:
    """Slots without tracks."""
    return Slots(
        np.zeros((count, LENGTH + 1, 2), np.float32),
        np.zeros((count, LENGTH, 2), np.float32),
        np.zeros((count, TIME_CELLS, DESCRIPTOR), np.float32),
        np.zeros(count, np.int32),
    )


@compiled(nogil=True, error_model="numpy")
def move(
    slots: Slots, tracks: np.ndarray, flow: np.ndarray, warped: np.ndarray, patch: int, corners: np.ndarray
) -> int:
    """Move tracks by the flow (2, H, W) at their rounded point; returns how many are still within the layer.

    `tracks` are slots; those still within come first, in their order, and then the others. `corners` (n, 2) become the
    upper left pixels of the patches around where those still within were.
    """
    height, width = flow.shape[1:]
    left = np.empty_like(tracks)
    kept = gone = 0
    for n in range(len(tracks)):
        track = tracks[n]
        step = slots.steps[track]
        x, y = slots.points[track, step, 0], slots.points[track, step, 1]
        column = min(max(int(np.rint(x)), 0), width - 1)
        row = min(max(int(np.rint(y)), 0), height - 1)
        x, y = x + flow[0, row, column], y + flow[1, row, column]
        if not (0 < x < width and 0 < y < height):
            left[gone] = track
            gone += 1
            continue
        slots.points[track, step + 1, 0], slots.points[track, step + 1, 1] = x, y
        slots.displacements[track, step, 0] = warped[0, row, column]
        slots.displacements[track, step, 1] = warped[1, row, column]
        slots.steps[track] = step + 1
        corners[kept, 0] = min(max(column - patch // 2, 0), width - patch)
        corners[kept, 1] = min(max(row - patch // 2, 0), height - patch)
        tracks[kept] = track
        kept += 1
    for n in range(gone):
        tracks[kept + n] = left[n]
    return kept


@compiled(nogil=True, error_model="numpy")
def add_descriptors(slots: Slots, tracks: np.ndarray, descriptors: np.ndarray) -> None:
    """Add the descriptors (n, DESCRIPTOR) of the tracks' last step to their temporal cells."""
    for n in range(len(tracks)):
        step = slots.steps[tracks[n]] - 1
        into = slots.descriptors[tracks[n], step // FRAMES_OF_CELL]
        if step % FRAMES_OF_CELL == 0:
            into[:] = 0
        for i in range(DESCRIPTOR):
            into[i] += descriptors[n, i]


@kernel
def deviation(points: np.ndarray, axis: int) -> float:
    """Standard deviation of x or y along a track (n, 2)."""
    mean = variance = 0.0
    for i in range(len(points)):
        mean += points[i, axis]
    mean /= len(points)
    for i in range(len(points)):
        variance += (points[i, axis] - mean) ** 2
    return float(np.sqrt(variance / len(points)))


@kernel
def accept(points: np.ndarray, displacements: np.ndarray, rules: tuple[float, ...]) -> bool:
    """True unless a track is static, erratic, or moved by the camera alone; `rules` are those of `accepted`."""
    least_deviation, most_deviation, most_step, most_share, least_displacement = rules
    x, y = deviation(points, 0), deviation(points, 1)
    if (x < least_deviation and y < least_deviation) or x > most_deviation or y > most_deviation:
        return False
    length = longest = largest = 0.0
    for i in range(len(displacements)):
        step = np.hypot(points[i + 1, 0] - points[i, 0], points[i + 1, 1] - points[i, 1])
        length += step
        longest = max(longest, step)
        largest = max(largest, np.hypot(displacements[i, 0], displacements[i, 1]))
    if longest > most_step and longest > most_share * length:
        return False
    return largest > least_displacement


@compiled(nogil=True, error_model="numpy")
def accept_all(points: np.ndarray, displacements: np.ndarray, rules: tuple[float, ...], good: np.ndarray) -> None:
    """`accepted` into `good`."""
    for n in range(len(points)):
        good[n] = accept(points[n], displacements[n], rules)


def accepted(points: np.ndarray, displacements: np.ndarray, parameters: TrajectoryParameters) -> np.ndarray:
    """Which of n complete tracks are trajectories: bool (n,).

    Rejected are tracks that are static (x and y both deviate too little), erratic (x or y deviates too much, or one
    step is long and most of the way), or moved by the camera alone (no displacement is large enough).

    Args:
        points: float32 (n, LENGTH + 1, 2), pixels of the frame.
        displacements: float32 (n, LENGTH, 2) without the camera's motion, pixels of the frame.
        parameters: the thresholds.
    """
    p = parameters
    rules = (
        p.min_deviation * p.min_motion,
        p.max_deviation,
        p.max_step,
        p.max_step_share,
        p.min_displacement * p.min_motion,
    )
    good = np.empty(len(points), np.bool_)
    accept_all(points, displacements, rules, good)
    return good


@compiled(nogil=True, error_model="numpy")
def free_points(quality: np.ndarray, least: float, slots: Slots, tracks: np.ndarray, stride: int) -> np.ndarray:
    """Points (n, 2) float32 at the middles of grid cells without a track, where the quality (H, W) is above `least`."""
    rows, columns = quality.shape[0] // stride, quality.shape[1] // stride
    taken = np.zeros((rows, columns), np.bool_)
    for n in range(len(tracks)):
        x, y = slots.points[tracks[n], slots.steps[tracks[n]]]
        row, column = int(y) // stride, int(x) // stride
        if row < rows and column < columns:
            taken[row, column] = True
    points = np.empty((rows * columns, 2), np.float32)
    count = 0
    for row in range(rows):
        for column in range(columns):
            x, y = column * stride + stride // 2, row * stride + stride // 2
            if not taken[row, column] and quality[y, x] > least:
                points[count, 0], points[count, 1] = x, y
                count += 1
    return points[:count]


class Finished(NamedTuple):
    """Accepted tracks of a layer; lengths in pixels of the frame."""

    points: np.ndarray  # (n, LENGTH + 1, 2) float32
    displacements: np.ndarray  # (n, LENGTH, 2) float32
    descriptors: np.ndarray  # (n, TIME_CELLS, DESCRIPTOR) float32, means over the frames of a temporal cell


class LayerTracks:
    """The tracks of one layer of a clip; `scale` is how many pixels of the frame one of the layer is wide."""

    def __init__(self, scale: np.float32, parameters: TrajectoryParameters) -> None:
        self._scale, self._parameters = scale, parameters
        self._slots = empty_slots(0)
        self._tracks = np.empty(0, np.int64)  # the slots of live tracks, oldest first
        self._free = np.empty(0, np.int64)

    def sample(self, image: np.ndarray) -> None:
        """Begin tracks in an image uint8 (H, W), at corners where there is no track yet."""
        parameters = self._parameters
        quality = cv2.cornerMinEigenVal(image, 3, ksize=3)
        least = float(quality.max()) * parameters.quality
        points = free_points(quality, least, self._slots, self._tracks, parameters.stride)
        if len(points) > len(self._free):
            self._grow(len(points) - len(self._free))
        new, self._free = np.split(self._free, [len(points)])
        self._slots.points[new, 0], self._slots.steps[new] = points, 0
        self._tracks = np.concatenate([self._tracks, new])

    def _grow(self, count: int) -> None:
        """Add slots: `count`, or half as many as there are."""
        before = len(self._slots.steps)
        more = max(count, before // 2)
        pairs = zip(self._slots, empty_slots(more), strict=True)
        self._slots = Slots(*(np.concatenate(pair) for pair in pairs))
        self._free = np.concatenate([self._free, np.arange(before, before + more)])

    def follow(self, image: np.ndarray, flow: np.ndarray, warped: np.ndarray) -> Finished:
        """Move and describe the tracks from an image uint8 (H, W) to the next one; those that are then complete.

        `flow` and `warped` are float32 (2, H, W) in pixels of the layer, with and without the camera's motion.
        """
        slots, parameters, tracks = self._slots, self._parameters, self._tracks
        corners = np.empty((len(tracks), 2), np.int32)
        kept = move(slots, tracks, flow, warped, parameters.patch, corners)
        tracks, gone = np.split(tracks, [kept])
        add_descriptors(slots, tracks, describe(image, warped, corners[:kept], parameters))
        complete = slots.steps[tracks] == LENGTH
        done, self._tracks = tracks[complete], tracks[~complete]
        self._free = np.concatenate([self._free, gone, done])
        points, displacements = slots.points[done] * self._scale, slots.displacements[done] * self._scale
        good = accepted(points, displacements, parameters)
        descriptors = slots.descriptors[done[good]] / np.float32(FRAMES_OF_CELL)
        return Finished(points[good], displacements[good], descriptors)
