"""The rules by which tracks begin, move and are rejected, one by one."""

import cv2
import numpy as np
import pytest

from stp.trajectories.histograms import describe
from stp.trajectories.layers import STEP, layer_sizes
from stp.trajectories.parameters import TrajectoryParameters
from stp.trajectories.tracks import LayerTracks, accepted, empty_slots, free_points

STEPS = np.ones((15, 2))


def track(steps: np.ndarray) -> np.ndarray:
    """The points of a track of 15 steps (15, 2), in a batch of one."""
    return np.concatenate([[[100, 100]], 100 + np.cumsum(steps, axis=0)]).astype(np.float32)[np.newaxis]


def is_accepted(steps: np.ndarray, displacements: np.ndarray | None = None, min_motion: float = 1.0) -> bool:
    own = steps if displacements is None else displacements
    parameters = TrajectoryParameters(min_motion=min_motion)
    return bool(accepted(track(steps), own.astype(np.float32)[np.newaxis], parameters)[0])


def along_x(deviation: float) -> np.ndarray:
    """Equal steps along x, of which the 16 points have this standard deviation."""
    return np.stack([np.full(15, deviation / np.std(np.arange(16))), np.zeros(15)], axis=1)


def test_a_track_that_moves_is_accepted() -> None:
    assert is_accepted(2 * STEPS)


def test_a_track_that_deviates_by_less_than_the_root_of_3_in_x_and_in_y_is_static() -> None:
    large = 2 * STEPS  # displacements, so that no other rule says no
    assert not is_accepted(along_x(3**0.5 - 0.01), large)
    assert is_accepted(along_x(3**0.5 + 0.01), large)
    assert is_accepted(along_x(3**0.5 + 0.01)[:, ::-1], large)


def test_a_track_that_deviates_by_more_than_50_in_x_or_in_y_is_erratic() -> None:
    assert is_accepted(along_x(49.9))
    assert not is_accepted(along_x(50.1))
    assert not is_accepted(along_x(50.1)[:, ::-1])


def test_one_step_that_is_longer_than_20_and_most_of_the_way_is_erratic() -> None:
    steps = 0.5 * STEPS
    rest = 14 * np.hypot(0.5, 0.5)
    for length, good in ((rest * 0.7 / 0.3 + 0.1, False), (rest * 0.7 / 0.3 - 0.1, True)):
        steps[7] = length, 0
        assert length > 20
        assert is_accepted(steps) == good
    steps = 0.01 * STEPS
    steps[7] = 19.9, 0  # nearly the whole way, but not longer than 20
    assert is_accepted(steps)
    steps[7] = 20.1, 0
    assert not is_accepted(steps)


def test_a_track_without_a_displacement_of_more_than_a_pixel_was_moved_by_the_camera() -> None:
    displacements = np.zeros((15, 2))
    displacements[3] = 0.6, 0.8
    assert not is_accepted(2 * STEPS, displacements - np.array([0, 0.001]))
    assert is_accepted(2 * STEPS, displacements + np.array([0, 0.001]))


@pytest.mark.parametrize("min_motion", [1, 0.5, 0.25, 0.1])
def test_min_motion_multiplies_what_a_track_has_to_move(min_motion: float) -> None:
    displacements = np.tile([min_motion + 0.01, 0], (15, 1))
    assert is_accepted(along_x(min_motion * 3**0.5 + 0.01), displacements, min_motion)
    assert not is_accepted(along_x(min_motion * 3**0.5 - 0.01), displacements, min_motion)
    assert not is_accepted(along_x(2), displacements - [0.02, 0], min_motion)


def test_without_min_motion_only_what_does_not_move_at_all_is_rejected() -> None:
    assert is_accepted(along_x(0.001), min_motion=0)
    assert not is_accepted(along_x(2), np.zeros((15, 2)), min_motion=0)


def test_layers_are_as_many_as_hold_a_patch() -> None:
    sizes = layer_sizes(256, 340, TrajectoryParameters())
    assert sizes == [(256, 340), (181, 240), (128, 170), (91, 120), (64, 85), (45, 60), (32, 43)]
    assert len(layer_sizes(72, 96, TrajectoryParameters())) == 3
    assert len(layer_sizes(72, 96, TrajectoryParameters(patch=16))) == 5
    assert len(layer_sizes(32, 32, TrajectoryParameters())) == 1
    assert len(layer_sizes(2000, 2000, TrajectoryParameters())) == 8
    assert layer_sizes(256, 340, TrajectoryParameters(scales=2)) == sizes[:2]
    assert all(min(size) >= 32 for side in range(32, 400) for size in layer_sizes(side, side, TrajectoryParameters()))
    with pytest.raises(ValueError, match="frames of 96x31 are smaller than a patch of 32 pixels"):
        layer_sizes(31, 96, TrajectoryParameters())


@pytest.mark.parametrize(
    "values", [{"scales": 0}, {"stride": 0}, {"patch": 3}, {"patch": 7}, {"min_motion": -1}, {"min_motion": np.nan}]
)
def test_parameters_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        TrajectoryParameters(**values)  # type: ignore[arg-type]


def test_tracks_begin_in_the_middle_of_cells_that_are_free_and_have_a_corner() -> None:
    quality = np.full((43, 64), 0.6, np.float32)
    quality[7] = 0.5  # the middle of the second row of cells
    slots = empty_slots(2)
    slots.points[:, 0] = (14.9, 4.9), (64, 43)  # in the third cell; beyond the last one
    found = free_points(quality, 0.5, slots, np.arange(2), 5)
    grid = [[5 * column + 2, 5 * row + 2] for row in range(8) for column in range(12) if row != 1]
    assert found.tolist() == [point for point in grid if point != [12, 2]]


def test_a_layer_samples_points_at_a_thousandth_of_its_best_corner() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 80), dtype=np.uint8)
    image[:, 40:] = 90 + rng.integers(0, 20, (64, 40))  # weak corners beside strong ones
    flow = np.full((2, 64, 80), 0.5, np.float32)
    tracks = LayerTracks(np.float32(1), TrajectoryParameters(min_motion=0))
    tracks.sample(image)
    for _ in range(15):
        found = tracks.follow(image, flow, flow)
    quality = cv2.cornerMinEigenVal(image, 3, ksize=3)
    good = quality[2:64:5, 2:80:5][:12] > quality.max() / 1000
    assert 0 < good[:, 9:].sum() < good[:, 9:].size
    starts = [[5 * column + 2, 5 * row + 2] for row, column in np.argwhere(good)]
    assert found.points[:, 0].tolist() == [[x, y] for x, y in starts if x + 7.5 < 80 and y + 7.5 < 64]


def test_tracks_follow_the_flow_at_their_rounded_points_and_end_at_the_border() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 80), dtype=np.uint8)
    flow, warped = rng.uniform(-2, 3, (2, 2, 64, 80)).astype(np.float32)
    scale, parameters = STEP, TrajectoryParameters()
    tracks = LayerTracks(STEP, parameters)
    tracks.sample(image)
    for _ in range(15):
        found = tracks.follow(image, flow, warped)
    expected = []
    for row, column in np.ndindex(12, 16):
        point, way, fields = np.array([5 * column + 2, 5 * row + 2], np.float32), [], []
        for _ in range(15):
            x, y = np.rint(point).astype(int).clip(0, [79, 63])
            way.append(point)
            fields.append(warped[:, y, x])
            point = point + flow[:, y, x]
        own = np.array([*way, point]), np.array(fields)
        if (own[0] > 0).all() and (own[0] < [80, 64]).all():
            points, displacements = own[0] * scale, own[1] * scale
            if accepted(points[np.newaxis], displacements[np.newaxis], parameters)[0]:
                expected.append((points, displacements))
    assert 10 < len(expected) < 192
    np.testing.assert_array_equal(found.points, [points for points, _ in expected])
    np.testing.assert_array_equal(found.displacements, [displacements for _, displacements in expected])


def test_descriptors_are_means_over_five_frames() -> None:
    rng = np.random.default_rng(0)
    parameters = TrajectoryParameters(stride=40, min_motion=0)  # one point
    tracks = LayerTracks(np.float32(1), parameters)
    images, flows = rng.integers(0, 256, (15, 60, 60), dtype=np.uint8), rng.normal(0, 0.1, (15, 2, 60, 60))
    tracks.sample(images[0])
    for image, flow in zip(images, flows.astype(np.float32), strict=True):
        found = tracks.follow(image, flow, flow)
    (points,) = found.points
    each = []
    for image, flow, point in zip(images, flows.astype(np.float32), points, strict=False):
        corner = (np.rint(point).astype(np.int32) - 16).clip(0, 60 - 32)
        each.append(describe(image, flow, corner[np.newaxis], parameters)[0])
    np.testing.assert_allclose(found.descriptors[0], np.reshape(each, (3, 5, 132)).mean(axis=1), atol=1e-6)


def test_slots_are_used_again() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 80), dtype=np.uint8)
    flow = np.full((2, 64, 80), 2, np.float32)
    tracks = LayerTracks(np.float32(1), TrajectoryParameters())
    sizes = []
    for _ in range(60):
        tracks.sample(image)
        tracks.follow(image, flow, flow)
        sizes.append(len(tracks._slots.steps))
    assert sizes[-1] == sizes[20] < 192 * 3
