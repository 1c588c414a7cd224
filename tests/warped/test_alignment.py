"""The parts of a pair's alignment, each beside a plain statement of its rule."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stp.warped import KeyPoints, WarpedFlowParameters, align, match_keypoints, warp_following
from stp.warped.homography import fit_homography

HEIGHT, WIDTH = 256, 340
SHIFT = np.array([[1, 0, 7.25], [0, 1, -3.5], [0, 0, 1]])
ROTATION = np.array([[np.cos(0.05), -np.sin(0.05), 8], [np.sin(0.05), np.cos(0.05), -6], [0, 0, 1]])
ZOOM = np.array([[1.06, 0, -10], [0, 1.06, -8], [0, 0, 1]])
PERSPECTIVE = np.array([[1.02, 0.01, 2], [-0.02, 0.98, 3], [8e-5, -6e-5, 1]])
CAMERAS = {"shift": SHIFT, "rotation": ROTATION, "zoom": ZOOM, "perspective": PERSPECTIVE}


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return cv2.perspectiveTransform(points[np.newaxis].astype(np.float64), matrix)[0]


def corner_error(matrix: np.ndarray, expected: np.ndarray) -> float:
    """Largest distance in pixels between where two homographies take a corner of the frame."""
    corners = np.array([[0, 0], [WIDTH, 0], [0, HEIGHT], [WIDTH, HEIGHT]])
    return float(np.linalg.norm(project(matrix, corners) - project(expected, corners), axis=1).max())


def correspondences(camera: np.ndarray, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """400 points that the camera moves, 150 of a body with a motion of its own, 150 mismatches; shuffled."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, [WIDTH, HEIGHT], (700, 2))
    target = project(camera, source) + rng.normal(0, noise, source.shape)
    source[400:550] = rng.uniform([60, 60], [180, 220], (150, 2))
    target[400:550] = project(camera, source[400:550]) + rng.normal([5, 3], noise, (150, 2))
    target[550:] += rng.uniform(-25, 25, (150, 2))
    order = rng.permutation(700)
    return source[order].astype(np.float32), target[order].astype(np.float32), 400


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
@pytest.mark.parametrize(("noise", "error"), [(0, 0.002), (0.2, 0.15)])
def test_homography_of_the_background_is_found(camera: np.ndarray, noise: float, error: float) -> None:
    source, target, background = correspondences(camera, noise)
    matrix, inliers = fit_homography(source, target, 1.0)
    assert matrix.dtype == np.float64
    assert matrix[2, 2] == 1
    assert corner_error(matrix, camera) < error
    assert background <= inliers < background + 15
    distance = np.linalg.norm(project(matrix, source) - target, axis=1)
    assert inliers == (distance < 1).sum()


def agreement(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> float:
    """What `fit_homography` maximises."""
    squared = ((project(matrix, source) - target) ** 2).sum(axis=1)
    return float((np.clip(1 - squared, 0, None) ** 3).sum())


@pytest.mark.parametrize("seed", range(5))
def test_homography_agrees_better_than_opencvs_and_than_its_neighbours(seed: int) -> None:
    source, target, _ = correspondences(PERSPECTIVE, 0.3, seed)
    matrix, _ = fit_homography(source, target, 1.0)
    best = agreement(matrix, source, target)
    assert best >= agreement(cv2.findHomography(source, target, cv2.RANSAC, 1.0)[0], source, target)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        moved = matrix + rng.normal(0, 1, (3, 3)) * [[2e-3, 2e-3, 0.3], [2e-3, 2e-3, 0.3], [1e-5, 1e-5, 0]]
        assert best > agreement(moved, source, target)


def test_homography_does_not_depend_on_threads_or_random_state() -> None:
    sets = [correspondences(camera, 0.3)[:2] for camera in CAMERAS.values()]
    expected = [fit_homography(source, target, 1.0) for source, target in sets]
    np.random.seed(1)  # noqa: NPY002 - the generator that must not matter
    cv2.setRNGSeed(1)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda pair: fit_homography(pair[0], pair[1], 1.0), sets * 4))
    for number, (matrix, inliers) in enumerate(again):
        np.testing.assert_array_equal(matrix, expected[number % 4][0])
        assert inliers == expected[number % 4][1]


@pytest.mark.parametrize(
    "source",
    [
        np.empty((0, 2)),
        np.array([[0, 0], [9, 0], [0, 9]]),
        np.full((100, 2), 7.0),
        np.linspace([0, 0], [100, 50], 100),
    ],
    ids=["none", "three", "one place", "a line"],
)
def test_degenerate_points_give_the_identity(source: np.ndarray) -> None:
    source = source.astype(np.float32)
    matrix, inliers = fit_homography(source, source + np.float32(3), 1.0)
    np.testing.assert_array_equal(matrix, np.eye(3))
    assert inliers == 0


def test_unusable_numbers_are_outliers() -> None:
    source, target, _ = correspondences(ZOOM, 0)
    target[:5] = np.nan
    target[5:9] = 1e30
    assert corner_error(fit_homography(source, target, 1.0)[0], ZOOM) < 0.01


def key_points(rng: np.random.Generator, count: int, kind: type, values: int) -> KeyPoints:
    """Key points on a coarse grid, so that distances to the window and between descriptors often are equal."""
    points = rng.integers(0, 160, (count, 2)) / 2
    length = 32 if kind is np.uint8 else 128
    return KeyPoints(points.astype(np.float32), rng.integers(0, values, (count, length)).astype(kind))


@given(
    seed=st.integers(0, 2**32 - 1),
    old=st.integers(0, 40),
    new=st.integers(0, 40),
    values=st.sampled_from([1, 2, 256]),
    window=st.sampled_from([0.0, 2.5, 25.0, 1000.0]),
    kind=st.sampled_from([np.uint8, np.float32]),
)
@settings(max_examples=150, deadline=None)
def test_matches_are_the_most_alike_within_the_window(
    seed: int, old: int, new: int, values: int, window: float, kind: type
) -> None:
    rng = np.random.default_rng(seed)
    previous, following = key_points(rng, old, kind, values), key_points(rng, new, kind, values)
    expected = []
    for point, descriptor in zip(following.points, following.descriptors, strict=True):
        near = np.flatnonzero((np.abs(previous.points - point) <= window).all(axis=1))
        if len(near):
            others = previous.descriptors[near]
            if kind is np.uint8:
                distance = np.unpackbits(others ^ descriptor, axis=1).sum(axis=1)
            else:
                distance = ((others - descriptor) ** 2).sum(axis=1)
            expected.append((previous.points[near[distance.argmin()]], point))  # of equals the first
    matched_old, matched_new = match_keypoints(previous, following, window)
    np.testing.assert_array_equal(matched_old, np.reshape([pair[0] for pair in expected], (-1, 2)))
    np.testing.assert_array_equal(matched_new, np.reshape([pair[1] for pair in expected], (-1, 2)))
    assert matched_old.dtype == matched_new.dtype == np.float32


def plain_warp(previous: np.ndarray, following: np.ndarray, homography: np.ndarray, border: int) -> np.ndarray:
    """`warp_following`, pixel by pixel; numpy's float32 rounds as the compiled one does."""
    height, width = previous.shape
    h = homography.astype(np.float32)
    warped = previous.copy()
    for y in range(height):
        for x in range(width):
            with np.errstate(all="ignore"):
                column, row = np.float32(x), np.float32(y)
                scale = np.float32(1) / (h[2, 0] * column + (h[2, 1] * row + h[2, 2]))
                sx = (h[0, 0] * column + (h[0, 1] * row + h[0, 2])) * scale
                sy = (h[1, 0] * column + (h[1, 1] * row + h[1, 2])) * scale
            if border < sx < width - 1 - border and border < sy < height - 1 - border:
                left, top = int(sx), int(sy)
                tx, ty = sx - np.float32(left), sy - np.float32(top)
                (nw, ne), (sw, se) = following[top : top + 2, left : left + 2].astype(np.float32)
                north, south = nw + tx * (ne - nw), sw + tx * (se - sw)
                warped[y, x] = int(north + ty * (south - north) + np.float32(0.5))
    return warped


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 24),
    width=st.integers(1, 40),
    border=st.integers(0, 5),
    strength=st.sampled_from([0.0, 0.01, 0.3, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_warp_equals_its_plain_statement(seed: int, height: int, width: int, border: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    previous, following = rng.integers(0, 256, (2, height, width), np.uint8)
    homography = np.eye(3) + strength * rng.normal(size=(3, 3)) * [[1, 1, 30], [1, 1, 30], [0.01, 0.01, 0]]
    warped = warp_following(previous, following, homography, border)
    np.testing.assert_array_equal(warped, plain_warp(previous, following, homography, border))


@pytest.mark.parametrize("homography", [np.full((3, 3), np.nan), np.full((3, 3), np.inf), np.zeros((3, 3))])
def test_warp_by_no_homography_is_filled(homography: np.ndarray) -> None:
    previous, following = np.random.default_rng(0).integers(0, 256, (2, 20, 30), np.uint8)
    np.testing.assert_array_equal(warp_following(previous, following, homography), previous)


def test_warp_takes_any_memory_layout() -> None:
    previous, following = np.random.default_rng(0).integers(0, 256, (2, 40, 50), np.uint8)
    expected = warp_following(previous, following, ROTATION)
    strided = np.repeat(following, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(warp_following(np.asfortranarray(previous), strided, ROTATION), expected)


def test_wrong_frames_and_borders_are_refused() -> None:
    frame = np.zeros((20, 30), np.uint8)
    with pytest.raises(ValueError, match="uint8 of one size"):
        warp_following(frame, frame[1:], np.eye(3))
    with pytest.raises(ValueError, match="uint8 of one size"):
        warp_following(frame, frame.astype(np.float32), np.eye(3))
    with pytest.raises(ValueError, match="border must not be negative"):
        warp_following(frame, frame, np.eye(3), -1)


def test_alignment_without_matches_keeps_the_frame() -> None:
    previous, following = np.random.default_rng(0).integers(0, 256, (2, 40, 50), np.uint8)
    none = KeyPoints(np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8))
    flow = np.zeros((2, 40, 50), np.float32)
    alignment = align(previous, following, flow, none, none, WarpedFlowParameters(corners=40))
    assert alignment.estimate.identity
    assert alignment.frame is following
