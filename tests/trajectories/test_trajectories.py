"""Trajectories of scenes whose motion is known."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from stp.flow import dequantise, quantise
from stp.trajectories import (
    COLUMNS,
    SIZES,
    FarnebackFlow,
    FlowOfPair,
    Trajectories,
    TrajectoryParameters,
    given_flow,
    trajectories,
)
from tests.trajectories.plain import joined

HEIGHT, WIDTH = 96, 128
SQUARE = slice(24, 72), slice(32, 80)  # rows and columns, in the first frame
STEP = (1, 2)  # of the square, rows and columns a frame


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth noise, uint8 (H, W)."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moving_square(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A square that moves before a background that does not: frames (T, H, W), and the flow (T-1, 2, H, W)."""
    frames = np.tile(texture(HEIGHT, WIDTH), (count, 1, 1))
    flow = np.zeros((count - 1, 2, HEIGHT, WIDTH), np.float32)
    own = texture(48, 48, seed=1)
    for t in range(count):
        rows, columns = (slice(s.start + t * step, s.stop + t * step) for s, step in zip(SQUARE, STEP, strict=True))
        frames[t, rows, columns] = own
        flow[t : t + 1, :, rows, columns] = np.array(STEP[::-1])[:, None, None]
    return frames, flow


def camera(count: int, matrix: np.ndarray) -> np.ndarray:
    """A textured plane that a camera moves over: each frame shows what `matrix` makes of the last one's view."""
    plane = texture(4 * HEIGHT, 4 * WIDTH).astype(np.float32)
    view = np.array([[1, 0, WIDTH], [0, 1, HEIGHT], [0, 0, 1]], np.float64)
    frames = []
    for _ in range(count):
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
        mapped = np.einsum("ij,jhw->ihw", view, np.stack([x, y, np.ones_like(x)]))
        x, y = (mapped[:2] / mapped[2]).astype(np.float32)
        frames.append(cv2.remap(plane, x, y, cv2.INTER_LANCZOS4))
        view = view @ matrix
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def find(
    frames: np.ndarray, flow: FlowOfPair, parameters: TrajectoryParameters | None = None, threads: int = 1
) -> Trajectories:
    return joined(trajectories(frames, len(frames), flow, parameters or TrajectoryParameters(), threads))


def fields(flow: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(flow, flow, strict=True)


def part(found: Trajectories, name: str) -> np.ndarray:
    """The numbers of one kind."""
    names = list(SIZES)
    first = sum(SIZES[each] for each in names[: names.index(name)])
    return found.numbers[:, first : first + SIZES[name]]


def on_square(found: Trajectories, margin: int) -> np.ndarray:
    """Which trajectories begin within the square and this far from its edge."""
    start = np.stack([found.last_frames - 15] * 2, axis=1) * STEP[::-1]
    low = np.array([s.start for s in SQUARE[::-1]]) + start
    high = np.array([s.stop for s in SQUARE[::-1]]) + start
    return ((found.points[:, 0] >= low + margin) & (found.points[:, 0] < high - margin)).all(axis=1)


def behind_square(found: Trajectories) -> np.ndarray:
    """Which trajectories begin where the square never comes: well left of it, or above."""
    return (found.points[:, 0] - [s.start - 12 for s in SQUARE[::-1]]).min(axis=1) < 0


def test_numbers_are_30_96_108_96_and_96() -> None:
    assert SIZES == {"shape": 30, "hog": 96, "hof": 108, "mbhx": 96, "mbhy": 96}
    assert COLUMNS == 430
    frames, flow = moving_square(17)
    found = find(frames, given_flow(fields(flow)))
    assert found.numbers.shape == (len(found.points), 426)
    for name in ("hog", "hof", "mbhx", "mbhy"):
        squares = part(found, name).reshape(-1, 3, SIZES[name] // 3) ** 2
        assert (squares.sum(axis=2) < 1 + 1e-5).all()  # means of vectors of length 1
    lengths = np.linalg.norm(part(found, "shape").reshape(-1, 15, 2), axis=2)
    np.testing.assert_allclose(lengths.sum(axis=1), 1, rtol=1e-5)


def test_a_scene_at_rest_has_no_trajectories() -> None:
    frames = np.tile(texture(HEIGHT, WIDTH), (16, 1, 1))
    assert len(find(frames, FarnebackFlow()).points) == 0
    assert len(find(frames, given_flow(fields(np.zeros((15, 2, HEIGHT, WIDTH), np.float32)))).points) == 0


def test_trajectories_follow_a_square_whose_flow_is_known() -> None:
    frames, flow = moving_square(18)
    found = find(frames, given_flow(fields(flow)))
    own = on_square(found, 0) & (found.layers == 0)
    assert own.sum() > 80
    steps = np.diff(found.points[own], axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(STEP[::-1], steps.shape), atol=1e-5)
    shapes = part(found, "shape")[own].reshape(-1, 15, 2)
    np.testing.assert_allclose(shapes, np.broadcast_to(STEP[::-1], shapes.shape) / (15 * np.hypot(*STEP)), atol=1e-6)
    assert not behind_square(found).any()


def test_farnebacks_trajectories_follow_a_square_to_a_twentieth_of_a_pixel_a_frame() -> None:
    frames, _ = moving_square(18)
    found = find(frames, FarnebackFlow())
    inner = on_square(found, 12) & (found.layers == 0)
    assert inner.sum() > 20
    steps = np.diff(found.points[inner], axis=1).mean(axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(STEP[::-1], steps.shape), atol=0.05)
    # The direction is 26.6 degrees: between the bins of 0 and 45 degrees, and nearer to the second.
    middle = on_square(found, 16) & (found.layers == 0)
    hof = part(found, "hof")[middle].reshape(-1, 3, 4, 9)
    assert (hof.argmax(axis=3) == 1).all()
    assert not behind_square(found).any()


def test_flow_stored_as_bytes_moves_tracks_to_half_a_step_of_the_bytes() -> None:
    frames, flow = moving_square(18)
    bound = 6.0
    bytes_of = dequantise(quantise(flow, bound), bound)
    found = find(frames, given_flow(fields(bytes_of)))
    own = on_square(found, 0) & (found.layers == 0)
    steps = np.diff(found.points[own], axis=1)
    error = np.abs(steps - STEP[::-1]).max()
    assert 0 < error <= bound / 255 + 1e-5


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[1, 0, 2.5], [0, 1, -1.25], [0, 0, 1]]),
        np.array([[1.02, 0, -1.28], [0, 1.02, -0.96], [0, 0, 1]]),
    ],
    ids=["pan", "zoom"],
)
def test_what_the_camera_moves_has_no_trajectories(matrix: np.ndarray) -> None:
    frames = camera(18, matrix)
    source, seen = FarnebackFlow(), []

    def flow_of_pair(
        previous: Sequence[np.ndarray], following: Sequence[np.ndarray]
    ) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        flow, warped = source(previous, following)
        seen.append((flow[0], warped[0]))
        return flow, warped

    assert len(find(frames, flow_of_pair).points) == 0
    inner = np.s_[:, 12:-12, 12:-12]
    flow, warped = (np.array([pair[k][inner] for pair in seen]) for k in range(2))
    assert np.linalg.norm(flow, axis=1).mean() > 0.5
    assert np.linalg.norm(warped, axis=1).mean() < 0.1
    flows = [flow for flow, _ in seen]
    assert len(find(frames, given_flow(zip(flows, flows, strict=True))).points) > 100  # these are rejected for that


def test_no_result_depends_on_threads() -> None:
    frames, flow = moving_square(17)
    for source in (lambda: given_flow(fields(flow)), FarnebackFlow):
        one, many = find(frames, source()), find(frames, source(), threads=3)
        for name in vars(one):
            np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


@pytest.mark.parametrize("count", [1, 2, 15])
def test_a_clip_of_fewer_than_16_frames_has_no_rows(count: int) -> None:
    frames, flow = moving_square(count)
    found = find(frames, given_flow(fields(flow)))
    assert found.rows(count).shape == (0, COLUMNS)
    assert found.rows(count).dtype == np.float32


def test_rows_begin_with_time_place_and_layer() -> None:
    frames, flow = moving_square(20)
    found = find(frames, given_flow(fields(flow)))
    rows = found.rows(20)
    assert rows.shape == (len(found.points), 430)
    assert set(found.last_frames) == set(range(15, 20))
    np.testing.assert_allclose(rows[:, 0], (found.last_frames - 7.5) / 20)
    np.testing.assert_allclose(rows[:, 1:3], found.points.mean(axis=1), rtol=1e-5)
    assert set(rows[:, 3]) <= {0, 1, 2, 3}
    assert {0, 1} <= set(rows[:, 3])
    np.testing.assert_array_equal(rows[:, 4:], found.numbers)


def test_tracks_that_the_end_cuts_off_change_nothing() -> None:
    frames, flow = moving_square(24)
    longer = find(frames, given_flow(fields(flow)))
    shorter = find(frames[:20], given_flow(fields(flow[:19])))
    same = longer.last_frames < 20
    np.testing.assert_array_equal(longer.numbers[same], shorter.numbers)
    np.testing.assert_array_equal(longer.points[same], shorter.points)


def test_frames_smaller_than_a_patch_are_refused() -> None:
    frames = np.zeros((16, 20, 60), np.uint8)
    with pytest.raises(ValueError, match="smaller than a patch of 32 pixels"):
        find(frames, FarnebackFlow())
