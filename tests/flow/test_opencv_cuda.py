"""OpenCV's CUDA functions as a backend; needs the OpenCV of envs/opencv-cuda and a GPU."""

import cv2
import numpy as np
import pytest

from stp.flow import TVL1Parameters, tvl1
from stp.flow.opencv_engines import opencv_cuda_available, tvl1_opencv_cuda
from stp.warped import warp_following, warped_flow
from stp.warped.warping import warp_following_cuda

pytestmark = pytest.mark.skipif(not opencv_cuda_available(), reason="no OpenCV with CUDA TV-L1 or no GPU")
CAMERA = np.array([[1.02, -0.01, 2.5], [0.012, 0.99, -1.5], [2e-5, -1e-5, 1]])


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A textured scene, panned by 2 and 1 pixels a frame; uint8 (5, 120, 160)."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 240), np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    return np.stack([scene[20 + t : 140 + t, 20 + 2 * t : 180 + 2 * t] for t in range(5)])


def test_flow_finds_the_motion(frames: np.ndarray) -> None:
    flow = tvl1(frames[:-1], frames[1:], "opencv-cuda")
    assert flow.shape == (4, 2, 120, 160)
    np.testing.assert_allclose(np.median(flow, axis=(0, 2, 3)), [-2, -1], atol=0.05)


def test_flow_does_not_depend_on_streams(frames: np.ndarray) -> None:
    one = tvl1_opencv_cuda(frames[:-1], frames[1:], TVL1Parameters())
    three = tvl1_opencv_cuda(frames[:-1], frames[1:], TVL1Parameters(), streams=3)
    np.testing.assert_allclose(three, one, atol=1e-3)


def test_warping_differs_by_rounding(frames: np.ndarray) -> None:
    warped = warp_following_cuda(frames[:2], frames[1:3], np.stack([CAMERA, np.eye(3)]))
    expected = np.stack([warp_following(frames[0], frames[1], CAMERA), warp_following(frames[1], frames[2], np.eye(3))])
    assert np.abs(warped.astype(int) - expected).max() <= 1


def test_warped_flow_cancels_the_motion(frames: np.ndarray) -> None:
    result = warped_flow(frames, tvl1(frames[:-1], frames[1:], "opencv-cuda"), backend="opencv-cuda")
    assert not result.identity.any()
    assert np.median(np.abs(result.flow)) < 0.05
