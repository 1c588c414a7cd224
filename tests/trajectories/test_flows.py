"""The flows of a pair: given ones at every layer, and Farneback's, for which OpenCV has to smooth less than it does."""

import cv2
import numpy as np

from stp.trajectories.flows import given_flow, smoothed_layers
from stp.trajectories.layers import SCALES, image_layers, layer_sizes
from stp.trajectories.parameters import TrajectoryParameters

SIZES = layer_sizes(96, 128, TrajectoryParameters())


def test_given_flow_is_resized_and_in_pixels_of_each_layer() -> None:
    flow = np.stack([np.full((96, 128), 4.0), np.tile(np.arange(128.0), (96, 1))]).astype(np.float32)
    layers = image_layers(np.zeros((96, 128), np.uint8), SIZES)
    found, warped = given_flow(iter([(flow, -flow)]))(layers, layers)
    assert [layer.shape for layer in found] == [(2, *size) for size in SIZES]
    for layer, other, scale in zip(found, warped, SCALES, strict=False):
        np.testing.assert_allclose(layer[0], 4 / scale, rtol=1e-6)
        x = (np.arange(layer.shape[2]) + 0.5) * 128 / layer.shape[2] - 0.5  # of a pixel's middle, in the frame
        np.testing.assert_allclose(layer[1, 5, 2:-2], x[2:-2] / scale, rtol=0.02)
        np.testing.assert_array_equal(other, -layer)


def test_what_opencv_smooths_of_each_layer_is_what_farnebacks_flow_should_see() -> None:
    noise = np.random.default_rng(0).normal(size=(96, 128))
    frame = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), np.empty(0), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    layers = smoothed_layers(frame, SIZES)
    np.testing.assert_array_equal(layers[0], frame)
    for layer, size, scale in zip(layers[1:], SIZES[1:], SCALES[1:], strict=False):
        deviation = (float(scale) - 1) / 2
        side = max(round(5 * deviation) | 1, 3)
        wanted = cv2.resize(cv2.GaussianBlur(frame.astype(np.float32), (side, side), deviation), size[::-1])
        error, without = (np.abs(cv2.GaussianBlur(each, (3, 3), 0) - wanted).mean() for each in (layer, wanted))
        assert error < 0.2 * without
