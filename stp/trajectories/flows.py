"""The two flows that tracks need of a pair of frames, at all layers: with and without the camera's motion."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from stp.trajectories.layers import STEP, Layers, flow_layers, image_layers
from stp.warped import KeyPoints, align, detect_keypoints

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


def farneback(previous: Layers, following: Layers) -> list[np.ndarray]:
    """Farneback's flow at each layer, as in improved trajectories: from the smallest layer up, each begins at the last.

    Farneback, "Two-frame motion estimation based on polynomial expansion" (SCIA 2003), by OpenCV, with a 5x5 median of
    x and of y at each layer. OpenCV smooths every layer a little, the authors' program only the first one so much.
    """
    flow = np.zeros((*previous[-1].shape, 2), np.float32)
    layers = []
    for before, after in zip(reversed(previous), reversed(following), strict=True):
        if flow.shape[:2] != before.shape:
            flow = cv2.resize(flow, before.shape[::-1], interpolation=cv2.INTER_LINEAR) * np.float32(STEP)
        flags = cv2.OPTFLOW_USE_INITIAL_FLOW | cv2.OPTFLOW_FARNEBACK_GAUSSIAN
        flow = cv2.calcOpticalFlowFarneback(before, after, flow, 1 / STEP, 0, 10, 2, 7, 1.5, flags)
        parts = [cv2.medianBlur(part, 5) for part in cv2.split(flow)]
        flow = np.stack(parts, axis=-1)
        layers.append(np.stack(parts))
    return layers[::-1]


class FarnebackFlow:
    """Farneback's flow of the pairs of a clip, in order, and that to the second frame without the camera's motion."""

    def __init__(self, detector: str = "orb") -> None:
        self._detector = detector
        self._last: KeyPoints | None = None  # of the frame that is the first of the next pair

    def __call__(self, previous: Layers, following: Layers) -> tuple[Layers, Layers]:
        old = self._last or detect_keypoints(previous[0], self._detector)
        new = self._last = detect_keypoints(following[0], self._detector)
        flow = farneback(previous, following)
        alignment = align(previous[0], following[0], flow[0], old, new)
        if alignment.estimate.identity:
            return flow, flow
        sizes = [layer.shape for layer in previous]
        return flow, farneback(previous, image_layers(alignment.frame, sizes))
