"""The two flows that tracks need of a pair of frames, at all layers: with and without the camera's motion."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from stp.trajectories.layers import SCALES, STEP, Layers, flow_layers
from stp.warped import KeyPoints, align, detect_keypoints

SHARPENINGS = 4  # leave less than .001 pixels between this flow and that of the authors' program

# Layers of two frames, uint8 (H, W) each -> layers of the flow and of the warped flow between them, float32 (2, H, W)
# each, in pixels of the layer. Called once for each pair of a clip, in order.
FlowOfPair = Callable[[Layers, Layers], tuple[Layers, Layers]]


def given_flow(fields: Iterator[tuple[np.ndarray, np.ndarray]]) -> FlowOfPair:
    """Flow and warped flow that are known, float32 (2, H, W) in pixels of the frame, of each pair of a clip."""

    def flow_of_pair(previous: Layers, following: Layers) -> tuple[Layers, Layers]:
        sizes = [layer.shape for layer in previous]
        flow, warped = next(fields)
        return flow_layers(flow, sizes), flow_layers(warped, sizes)

    return flow_of_pair


def smoothed_layers(frame: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The layers of a frame uint8 (H, W) as Farneback's flow sees them: float32, smoothed by their size, then resized.

    OpenCV smooths every image that it is given by (1, 2, 1) / 4, as the authors' program only does the first layer. So
    van Cittert's iterations take that away from the others beforehand.
    """
    image = frame.astype(np.float32)
    layers = [image]
    for (height, width), scale in zip(sizes[1:], SCALES[1:], strict=False):
        deviation = (float(scale) - 1) / 2
        side = max(round(5 * deviation) | 1, 3)
        smooth = cv2.GaussianBlur(image, (side, side), deviation)
        layer = sharp = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
        for _ in range(SHARPENINGS):
            sharp = sharp + (layer - cv2.GaussianBlur(sharp, (3, 3), 0))
        layers.append(np.asarray(sharp, np.float32))
    return layers


def farneback(previous: Layers, following: Layers) -> list[np.ndarray]:
    """Farneback's flow at each of the `smoothed_layers`, as in improved trajectories: float32 (2, H, W) each.

    Farneback, "Two-frame motion estimation based on polynomial expansion" (SCIA 2003), by OpenCV. From the smallest
    layer up, each begins at the flow of the one before, of which x and y have passed a 5x5 median.
    """
    flow = np.zeros((*previous[-1].shape, 2), np.float32)
    layers = []
    for before, after in zip(reversed(previous), reversed(following), strict=True):
        if flow.shape[:2] != before.shape:
            flow = cv2.resize(flow, before.shape[::-1], interpolation=cv2.INTER_LINEAR) * STEP
        flags = cv2.OPTFLOW_USE_INITIAL_FLOW | cv2.OPTFLOW_FARNEBACK_GAUSSIAN
        flow = cv2.calcOpticalFlowFarneback(before, after, flow, float(1 / STEP), 0, 10, 2, 7, 1.5, flags)
        parts = [cv2.medianBlur(part, 5) for part in cv2.split(flow)]
        flow = np.stack(parts, axis=-1)
        layers.append(np.stack(parts))
    return layers[::-1]


class FarnebackFlow:
    """Farneback's flow of the pairs of a clip, in order, and that to the second frame without the camera's motion.

    Made for one clip: what is known of a pair's second frame is kept for the next pair.
    """

    def __init__(self, detector: str = "orb") -> None:
        self._detector = detector
        self._last: tuple[KeyPoints, Layers] | None = None

    def __call__(self, previous: Layers, following: Layers) -> tuple[Layers, Layers]:
        sizes = [layer.shape for layer in previous]
        old_points, old = self._last or self._look(previous[0], sizes)
        new_points, new = self._last = self._look(following[0], sizes)
        flow = farneback(old, new)
        alignment = align(previous[0], following[0], flow[0], old_points, new_points)
        if alignment.estimate.identity:
            return flow, flow
        return flow, farneback(old, smoothed_layers(alignment.frame, sizes))

    def _look(self, frame: np.ndarray, sizes: Sequence[tuple[int, int]]) -> tuple[KeyPoints, Layers]:
        return detect_keypoints(frame, self._detector), smoothed_layers(frame, sizes)
