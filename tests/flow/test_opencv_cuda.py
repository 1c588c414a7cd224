"""OpenCV's CUDA TV-L1 as a backend; needs the OpenCV of envs/opencv-cuda and a GPU."""

import cv2
import numpy as np
import pytest

from stp.flow import TVL1Parameters, tvl1
from stp.flow.opencv_engines import opencv_cuda_available, tvl1_opencv_cuda

CUDA = TVL1Parameters(semantics="opencv-cuda")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.opencv_cuda,
    pytest.mark.skipif(not opencv_cuda_available(), reason="this OpenCV has no CUDA"),
]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A textured scene, panned by 2 and 1 pixels a frame; uint8 (5, 120, 160)."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 240), np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    return np.stack([scene[20 + t : 140 + t, 20 + 2 * t : 180 + 2 * t] for t in range(5)])


def test_flow_finds_the_motion(frames: np.ndarray) -> None:
    flow = tvl1(frames[:-1], frames[1:], "opencv-cuda", parameters=CUDA)
    assert flow.shape == (4, 2, 120, 160)
    np.testing.assert_allclose(np.median(flow, axis=(0, 2, 3)), [-2, -1], atol=0.05)


def test_flow_does_not_depend_on_streams(frames: np.ndarray) -> None:
    one = tvl1_opencv_cuda(frames[:-1], frames[1:], CUDA)
    three = tvl1_opencv_cuda(frames[:-1], frames[1:], CUDA, streams=3)
    np.testing.assert_allclose(three, one, atol=1e-3)
