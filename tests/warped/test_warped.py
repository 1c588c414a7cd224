"""Warped flow: a known camera motion is found and cancelled."""

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pytest

from stp.errors import UserError
from stp.flow import tvl1
from stp.warped import (
    DETECTORS,
    HomographyEstimate,
    WarpedFlowParameters,
    align,
    background_mask,
    detect_keypoints,
    estimate_homography,
    flow_to_aligned,
    warp_following,
)
from tests.warped.plain import warped_flow

HEIGHT, WIDTH = 144, 192
# Rotation by some .6 degrees, zoom by 1 %, a shift of 3 and -2 pixels and a little perspective.
CAMERA = np.array([[1.01, -0.010, 3.0], [0.010, 1.01, -2.0], [1e-5, -1e-5, 1.0]])
CAMERAS = {
    "shift": np.array([[1, 0, 5.0], [0, 1, -3.5], [0, 0, 1]]),
    "rotation": np.array([[0.9998, -0.02, 3.0], [0.02, 0.9998, 1.0], [0, 0, 1]]),
    "zoom": np.array([[1.03, 0, -1.0], [0, 1.03, -4.0], [0, 0, 1]]),
    "perspective": np.array([[1.0, 0.005, 2.5], [-0.005, 1.0, 2.0], [1e-4, -5e-5, 1]]),
}


def scene(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A random scene with edges and corners sampled bilinearly at real coordinates; uint8."""
    rng = np.random.default_rng(seed)
    canvas = np.full((400, 500), 128, np.uint8)
    for _ in range(700):
        left, top = rng.integers(0, [500, 400])
        across, down = rng.integers(5, 30, 2)
        corners = (int(left), int(top)), (int(left + across), int(top + down))
        cv2.rectangle(canvas, *corners, int(rng.integers(20, 236)), -1)
    blurred = cv2.GaussianBlur(canvas, (0, 0), 0.8)
    return cv2.remap(blurred, (x + 100).astype(np.float32), (y + 100).astype(np.float32), cv2.INTER_LINEAR)


def clip_of_moving_camera(
    height: int, width: int, camera: np.ndarray, patch: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """Two frames (2, H, W): a scene under a homography, in which a patch x, y, width, height moves by 6, 4 pixels."""
    y, x = np.mgrid[:height, :width].astype(float)
    seen = np.linalg.inv(camera) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    seen_x, seen_y = (seen[:2] / seen[2]).reshape(2, height, width)
    frames = [scene(x, y, 0), scene(seen_x, seen_y, 0)]
    if patch is not None:
        left, top, across, down = patch
        person_x, person_y = np.mgrid[:across, :down].T.transpose(2, 0, 1).astype(float)
        person = scene(person_x, person_y, 1)
        frames[0][top : top + down, left : left + across] = person
        frames[1][top + 4 : top + 4 + down, left + 6 : left + 6 + across] = person
    return np.stack(frames)


def corner_error(matrix: np.ndarray, height: int, width: int, camera: np.ndarray = CAMERA) -> float:
    """Largest distance in pixels by which a homography takes a corner of the frame elsewhere than the camera does."""
    corners = np.array([[[0, 0], [width, 0], [0, height], [width, height]]], float)
    difference = cv2.perspectiveTransform(corners, matrix) - cv2.perspectiveTransform(corners, camera)
    return float(np.linalg.norm(difference, axis=-1).max())


def magnitude(flow: np.ndarray) -> np.ndarray:
    return np.linalg.norm(flow, axis=-3)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
def test_every_camera_motion_is_found_behind_a_moving_body(camera: np.ndarray, detector: str) -> None:
    frames = clip_of_moving_camera(HEIGHT, WIDTH, camera, patch=(60, 40, 70, 60))
    flow = tvl1(frames[:1], frames[1:])
    result = warped_flow(frames, flow, detector)
    assert not result.identity[0]
    assert corner_error(result.homographies[0], HEIGHT, WIDTH, camera) < 0.5
    far = np.ones((HEIGHT, WIDTH), bool)
    far[30:115, 50:150] = False
    assert np.median(magnitude(flow[0])[far]) > 1.5
    assert np.median(magnitude(result.flow[0])[far]) < 0.1


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize(("height", "width"), [(HEIGHT, WIDTH), (72, 96)])
def test_camera_motion_is_cancelled(detector: str, height: int, width: int) -> None:
    patch = (width // 4, height // 4, 40, 32)
    frames = clip_of_moving_camera(height, width, CAMERA, patch)
    flow = tvl1(frames[:1], frames[1:])
    result = warped_flow(frames, flow, detector)
    assert not result.identity[0]
    assert result.inliers[0] > 25
    assert corner_error(result.homographies[0], height, width) < 1
    left, top, across, down = patch
    background = np.ones((height, width), bool)
    background[top - 8 : top + down + 12, left - 8 : left + across + 14] = False
    assert np.median(magnitude(flow[0])[background]) > 2
    assert np.median(magnitude(result.flow[0])[background]) < 0.1
    inside = slice(top + 6, top + down - 6), slice(left + 6, left + across - 6)
    assert np.median(magnitude(result.flow[0])[inside]) > 2  # what moves by itself goes on moving


@pytest.mark.parametrize("detector", DETECTORS)
def test_people_are_masked_out(detector: str) -> None:
    patch = (10, 10, 150, 110)  # most of the frame: without its box it would be taken for the background
    frames = clip_of_moving_camera(HEIGHT, WIDTH, CAMERA, patch)
    flow = tvl1(frames[:1], frames[1:])
    boxes = [np.array([[8.0, 8, 170, 128]])] * 2
    assert corner_error(warped_flow(frames, flow, detector).homographies[0], HEIGHT, WIDTH) > 2
    assert corner_error(warped_flow(frames, flow, detector, boxes=boxes).homographies[0], HEIGHT, WIDTH) < 1


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_scene_without_texture_gives_the_identity(detector: str) -> None:
    frames = np.full((4, 72, 96), 90, np.uint8)
    flow = np.random.default_rng(0).normal(size=(3, 2, 72, 96)).astype(np.float32)
    result = warped_flow(frames, flow, detector)
    assert result.identity.tolist() == [True] * 3
    assert result.inliers.tolist() == [0] * 3
    np.testing.assert_array_equal(result.homographies, np.tile(np.eye(3), (3, 1, 1)))
    np.testing.assert_array_equal(result.flow, flow)


def test_identity_and_homography_in_one_clip() -> None:
    moving = clip_of_moving_camera(HEIGHT, WIDTH, CAMERA)
    frames = np.concatenate([np.full((2, HEIGHT, WIDTH), 90, np.uint8), moving])
    flow = tvl1(frames[:-1], frames[1:])
    result = warped_flow(frames, flow)
    assert result.identity.tolist() == [True, True, False]
    alone = warped_flow(moving, flow[2:])
    np.testing.assert_array_equal(result.flow[2:], alone.flow)
    np.testing.assert_array_equal(result.homographies[2:], alone.homographies)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (12, 12), (16, 17)])
@pytest.mark.parametrize("detector", DETECTORS)
def test_tiny_frames(height: int, width: int, detector: str) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width), np.uint8)
    result = warped_flow(frames, tvl1(frames[:-1], frames[1:]), detector)
    assert result.flow.shape == (2, 2, height, width)
    assert np.isfinite(result.flow).all()


@pytest.mark.parametrize("detector", DETECTORS)
def test_threads_give_what_one_thread_gives(detector: str) -> None:
    pair = clip_of_moving_camera(HEIGHT, WIDTH, CAMERA, patch=(60, 40, 70, 60))
    frames = np.concatenate([pair, pair, pair])
    flow = tvl1(frames[:-1], frames[1:])
    whole = warped_flow(frames, flow, detector)
    cv2.setRNGSeed(1)  # a random state that must not matter
    with ThreadPoolExecutor(4) as pool:
        keypoints = list(pool.map(detect_keypoints, frames, repeat(detector)))
        aligned = list(pool.map(align, frames[:-1], frames[1:], flow, keypoints[:-1], keypoints[1:]))
    images = np.stack([alignment.frame for alignment in aligned])
    together = flow_to_aligned(frames[:-1], images, flow, [alignment.estimate for alignment in aligned], tvl1)
    assert not whole.identity.all()
    np.testing.assert_array_equal(together.homographies, whole.homographies)
    np.testing.assert_array_equal(together.inliers, whole.inliers)
    np.testing.assert_array_equal(together.identity, whole.identity)
    np.testing.assert_array_equal(together.flow, whole.flow)


def test_pairs_without_a_homography_keep_their_flow() -> None:
    rng = np.random.default_rng(0)
    flow = rng.normal(size=(3, 2, 20, 30)).astype(np.float32)
    frames = rng.integers(0, 256, (3, 20, 30), np.uint8)
    before = flow.copy()
    computed: list[np.ndarray] = []

    def compute(previous: np.ndarray, aligned: np.ndarray) -> np.ndarray:
        computed.append(previous)
        return np.full((len(previous), 2, 20, 30), 7, np.float32)

    estimates = [HomographyEstimate(np.eye(3), 30, 60, identity) for identity in (True, False, True)]
    result = flow_to_aligned(frames, frames, flow, estimates, compute)
    np.testing.assert_array_equal(computed, [frames[1:2]])
    np.testing.assert_array_equal(result.flow[[0, 2]], before[[0, 2]])
    assert (result.flow[1] == 7).all()
    np.testing.assert_array_equal(flow, before)
    unknown = flow_to_aligned(frames, frames, flow, [estimates[0]] * 3, compute)
    assert len(computed) == 1  # nothing to compute
    np.testing.assert_array_equal(unknown.flow, before)
    assert (result.inliers.dtype, result.homographies.dtype) == (np.int32, np.float64)


def test_too_few_inliers_give_the_identity() -> None:
    frames = clip_of_moving_camera(HEIGHT, WIDTH, CAMERA)
    flow = tvl1(frames[:1], frames[1:])[0]
    previous, following = frames
    before, after = detect_keypoints(previous), detect_keypoints(following)
    found = estimate_homography(previous, following, flow, before, after)
    assert not found.identity
    for limits in ({"least_inliers": found.inliers}, {"least_matches": found.matches}):
        estimate = estimate_homography(previous, following, flow, before, after, WarpedFlowParameters(**limits))
        assert estimate.identity
        np.testing.assert_array_equal(estimate.matrix, np.eye(3))


@pytest.mark.parametrize("detector", DETECTORS)
def test_key_points_lie_within_the_mask(detector: str) -> None:
    frame = clip_of_moving_camera(HEIGHT, WIDTH, CAMERA)[0]
    everywhere = detect_keypoints(frame, detector)
    assert len(everywhere.points) == len(everywhere.descriptors) > 50
    assert (everywhere.points[:, 0] < 80).any()
    mask = background_mask(frame.shape, np.array([[-5.0, -5, 80, 300]]))
    points = detect_keypoints(frame, detector, mask).points
    assert len(points) > 20
    assert (points[:, 0] > 79).all()


def test_warp_by_the_identity_and_by_a_shift() -> None:
    rng = np.random.default_rng(0)
    previous, following = rng.integers(0, 256, (2, 40, 50), np.uint8)
    warped = warp_following(previous, following, np.eye(3))
    np.testing.assert_array_equal(warped[6:-6, 6:-6], following[6:-6, 6:-6])
    warped[6:-6, 6:-6] = previous[6:-6, 6:-6]
    np.testing.assert_array_equal(warped, previous)
    shift = np.array([[1.0, 0, 10], [0, 1, -4], [0, 0, 1]])
    warped = warp_following(previous, following, shift)
    np.testing.assert_array_equal(warped[10:, :34], np.vstack([following[6:34, 10:44], previous[38:, :34]])[:30, :34])


def test_flow_of_a_real_moving_camera_shrinks(real_data: Path) -> None:
    capture = cv2.VideoCapture(str(real_data / "testvideos" / "v_Bowling_g01_c01.avi"))
    read = [cv2.resize(capture.read()[1], (340, 256)) for _ in range(4)]
    frames = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in read])
    flow = tvl1(frames[:-1], frames[1:])
    for detector in DETECTORS:
        result = warped_flow(frames, flow, detector)
        assert not result.identity.any()
        assert np.median(magnitude(result.flow)) < 0.4 * np.median(magnitude(flow))


def test_wrong_arguments() -> None:
    frames, flow = np.zeros((2, 20, 30), np.uint8), np.zeros((1, 2, 20, 30), np.float32)
    with pytest.raises(UserError, match="'surf' is unknown; choose one of: orb, sift"):
        detect_keypoints(frames[0], "surf")
    keypoints = detect_keypoints(frames[0])
    with pytest.raises(ValueError, match="must be of one size"):
        estimate_homography(frames[0], frames[1, 1:], flow[0], keypoints, keypoints)
