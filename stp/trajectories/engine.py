"""Trajectories of a clip, frame by frame: of the clip itself no more than two frames are held at a time."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from stp.trajectories.flows import FlowOfPair
from stp.trajectories.histograms import END, FIRST
from stp.trajectories.layers import SCALES, Layers, image_layers, layer_sizes
from stp.trajectories.parameters import LENGTH, TIME_CELLS, TrajectoryParameters
from stp.trajectories.tracks import Finished, LayerTracks

PLACE = 4  # columns of a row before its descriptors: time, x, y and layer
SIZES = {"shape": 2 * LENGTH} | {
    name: TIME_CELLS * 4 * (end - first)
    for name, first, end in zip(("hog", "hof", "mbhx", "mbhy"), FIRST, END, strict=True)
}
NUMBERS = sum(SIZES.values())  # 426 of a trajectory: 30 of shape, 96 of HOG, 108 of HOF, 96 of MBHx, 96 of MBHy
COLUMNS = PLACE + NUMBERS


@dataclass(frozen=True)
class Trajectories:
    """n trajectories of a clip."""

    last_frames: np.ndarray  # (n,) int64, number of the frame of the last point
    layers: np.ndarray  # (n,) int64, number of the layer: 0 is the frame, each further one is sqrt(2) smaller
    points: np.ndarray  # (n, 16, 2) float32, x and y in pixels of the frame, one a frame
    numbers: np.ndarray  # (n, 426) float32: shape, HOG, HOF, MBHx, MBHy (`SIZES`)

    def rows(self, frames: int) -> np.ndarray:
        """The trajectories as they are stored, of a clip of so many frames: float32 (n, 430).

        Before the 426 numbers there are the time of the middle as a fraction of the clip's length, x and y of the mean
        point in pixels of the frame, and the number of the layer.
        """
        times = (self.last_frames - LENGTH / 2) / frames
        means = self.points.mean(axis=1)
        return np.column_stack([times, means, self.layers, self.numbers]).astype(np.float32)


def shapes(displacements: np.ndarray) -> np.ndarray:
    """Displacements (n, 15, 2) over the sum of their lengths: (n, 30)."""
    lengths = np.hypot(displacements[..., 0], displacements[..., 1]).sum(axis=1)
    return (displacements / lengths[:, np.newaxis, np.newaxis]).reshape(-1, SIZES["shape"])


def collect(finished: list[Finished], frame: int) -> Trajectories:
    """The tracks of all layers that are complete in a frame, layer by layer."""
    counts = [len(each.points) for each in finished]
    points, displacements, descriptors = (np.concatenate(parts) for parts in zip(*finished, strict=True))
    # A number's place: its kind, then its temporal cell, then its cell and bin.
    kinds = [
        descriptors[..., 4 * first : 4 * end].reshape(len(points), TIME_CELLS * 4 * (end - first))
        for first, end in zip(FIRST, END, strict=True)
    ]
    return Trajectories(
        last_frames=np.full(len(points), frame),
        layers=np.repeat(np.arange(len(counts)), counts),
        points=points,
        numbers=np.concatenate([shapes(displacements), *kinds], axis=1),
    )


def trajectories(
    frames: Iterable[np.ndarray],
    count: int,
    flow_of_pair: FlowOfPair,
    parameters: TrajectoryParameters,
    threads: int = 1,
) -> Iterator[Trajectories]:
    """Improved trajectories of a clip: those that end in each frame but the first.

    Wang and Schmid, "Action recognition with improved trajectories" (ICCV 2013), with the parameters of the authors'
    program. Points on a grid are followed for 15 frames at each layer, by the flow. Their patches are described in
    every frame, by the image and by the flow without the camera's motion.

    Args:
        frames: uint8 (H, W), grey.
        count: their number. Tracks that could not be complete before the end are not begun.
        flow_of_pair: gives the flows of each pair of neighbouring frames.
        parameters: layers, grid, and what is rejected.
        threads: layers are worked on at once; the result does not depend on it.

    Raises:
        ValueError: the frames are smaller than a patch.
    """
    previous: Layers | None = None
    layers: list[LayerTracks] = []
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        spread = pool.map if pool else map
        for number, frame in enumerate(frames):
            height, width = frame.shape
            sizes = layer_sizes(height, width, parameters)
            following = image_layers(frame, sizes)
            if previous is None:
                layers = [LayerTracks(scale, parameters) for scale in SCALES[: len(sizes)]]
            else:
                flow, warped = flow_of_pair(previous, following)
                finished = spread(LayerTracks.follow, layers, previous, flow, warped)
                yield collect(list(finished), number)
            if number + LENGTH < count:
                list(spread(LayerTracks.sample, layers, following))
            previous = following
