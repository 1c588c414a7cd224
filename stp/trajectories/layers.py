"""Layers: a frame and its flow at smaller and smaller sizes, each the square root of 2 smaller than the one before."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from stp.trajectories.parameters import TrajectoryParameters

STEP = np.float32(math.sqrt(2))
# How many pixels of the frame one of each layer is wide; multiplied up in float32, as by the authors' program, so that
# a size half way between two (340 / 8) is rounded as there.
SCALES = np.cumprod(np.array([1] + 7 * [STEP], np.float32))

Layers = Sequence[np.ndarray]  # of a frame, uint8 (H, W) each, or of its flow, float32 (2, H, W) in pixels of the layer


def layer_sizes(height: int, width: int, parameters: TrajectoryParameters) -> list[tuple[int, int]]:
    """Height and width of each layer, the frame's first; none is smaller than a patch.

    Raises:
        ValueError: the frame is smaller than a patch.
    """
    if min(height, width) < parameters.patch:
        raise ValueError(f"frames of {width}x{height} are smaller than a patch of {parameters.patch} pixels")
    smaller = int(2 * math.log2(min(height, width) / parameters.patch) + 1e-6)  # a side of 256 has all 7 layers
    scales = SCALES[: min(parameters.scales, 1 + smaller)]
    return [(round(float(height / scale)), round(float(width / scale))) for scale in scales]


def image_layers(image: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The layers of a grey frame uint8 (H, W), each resized bilinearly from the one before."""
    layers = [image]
    for height, width in sizes[1:]:
        layers.append(cv2.resize(layers[-1], (width, height), interpolation=cv2.INTER_LINEAR))
    return layers


def flow_layers(flow: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The layers of flow float32 (2, H, W), resized as those of frames, each in its own pixels."""
    layers = [flow]
    for height, width in sizes[1:]:
        smaller = [cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in layers[-1]]
        layers.append(np.stack(smaller) * (1 / STEP))
    return layers
