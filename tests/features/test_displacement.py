"""Cumulative displacement: known camera paths, and each rule of the clean-up."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.features.displacement import (
    FEATURES,
    DisplacementOptions,
    cell_centres,
    cell_displacements,
    cleaned,
    cumulative_displacement,
)
from stp.system.devices import Compute

OPTIONS = DisplacementOptions()
WIDTH, HEIGHT = 160, 120


def seen_along(path: np.ndarray) -> list[np.ndarray]:
    """Grey frames of a camera that sees a large texture at `path`, (T, 2) x and y in pixels from its middle."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (300, 400)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = 255 * (texture - texture.min()) / np.ptp(texture)
    frames = []
    for x, y in path:
        seen = np.array([[1, 0, 120 + x], [0, 1, 90 + y]])
        frame = cv2.warpAffine(texture, seen, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def test_a_known_camera_path_is_the_scenes_displacement_in_every_cell() -> None:
    t = np.arange(30)
    path = np.stack([20 * np.sin(t / 5), 8 * np.cos(t / 7) - 8], axis=1)  # up to 4 pixels a frame
    found = cumulative_displacement(seen_along(path), (WIDTH, HEIGHT), OPTIONS)
    assert (found.shape, found.dtype) == ((30, 100), np.float32)
    scene = -path / (WIDTH, HEIGHT)  # what the camera sees moves the other way
    inner = [row * 10 + column for row in range(1, 4) for column in range(1, 9)]  # windows that stay in the frame
    for axis, first in ((0, 0), (1, 50)):
        error = np.abs(found[:, first : first + 50] - scene[:, axis, None]) * (WIDTH, HEIGHT)[axis]
        assert error[:, inner].max() < 0.5  # pixels, after 29 steps
        assert np.median(error[-1]) < 0.3


def test_x_of_all_cells_stands_before_y_row_by_row() -> None:
    assert cell_centres(20, 10, DisplacementOptions(columns=2, rows=2)).tolist() == [
        *([4.5, 2], [14.5, 2]),
        *([4.5, 7], [14.5, 7]),
    ]
    frames = seen_along(np.zeros((5, 2)))
    for t, frame in enumerate(seen_along(np.stack([3.0 * np.arange(5), np.zeros(5)], axis=1))):
        frames[t][:, WIDTH // 2 :] = frame[:, WIDTH // 2 :]  # the right half moves to the left
    last = cumulative_displacement(frames, (WIDTH, HEIGHT), OPTIONS)[-1].reshape(2, 5, 10)
    assert np.median(last[0, :, 7:]) == pytest.approx(-12 / WIDTH, abs=0.002)
    assert np.abs(last[0, :, :3]).max() < 0.002
    assert np.abs(last[1]).max() < 0.05


def test_the_first_row_is_zero_and_a_single_frame_has_no_other() -> None:
    frames = seen_along(np.array([[0.0, 0], [2, 1]]))
    moved, found = cell_displacements(frames, OPTIONS)
    assert (moved.shape, found.shape, found.dtype) == ((1, 50, 2), (1, 50), bool)
    assert not cumulative_displacement(frames, (WIDTH, HEIGHT), OPTIONS)[0].any()
    alone = cumulative_displacement(frames[:1], (WIDTH, HEIGHT), OPTIONS)
    assert alone.tolist() == [[0] * 100]


CELL = (16.0, 24.0)


def clean(x: list[float], y: list[float] | None = None, found: list[bool] | None = None) -> np.ndarray:
    """The cleaned displacements of one cell, (n, 2)."""
    displacements = np.stack([x, y or [0.0] * len(x)], axis=1)[:, None]
    return cleaned(displacements, np.array(found or [True] * len(x))[:, None], CELL)[:, 0]


def test_a_displacement_of_a_cells_size_or_more_is_interpolated() -> None:
    assert clean([1, 15.9, 3, 4])[:, 0].tolist() == [1, 15.9, 3, 4]
    assert clean([1, 16, 3, 4])[:, 0].tolist() == [1, 2, 3, 4]
    assert clean([1, -16, 30, 4, 5])[:, 0].tolist() == pytest.approx([1, 2, 3, 4, 5])
    tall = clean([1, 7, 3, 4], [0, 24, 2, 2])
    assert tall.tolist() == [[1, 0], [2, 1], [3, 2], [4, 2]]  # both of its numbers are replaced
    assert clean([0, 0, 0, 0], [0, 20, 0, 0])[1].tolist() == [0, 20]  # a cell is taller than wide


def test_no_displacement_of_fifty_pixels_is_valid_however_large_the_cells() -> None:
    displacements = np.array([[0.0, 0], [50, 0], [2, 0], [49, 0]])[:, None]
    assert cleaned(displacements, np.ones((4, 1), bool), (100.0, 100.0))[:, 0, 0].tolist() == [0, 1, 2, 49]


def test_what_is_not_found_is_interpolated_and_takes_the_nearest_at_the_ends() -> None:
    found = [False, False, True, False, True, True, False]
    assert clean([9, 9, 2, 9, 4, 7, 9], None, found)[:, 0].tolist() == [2, 2, 2, 3, 4, 7, 7]


def test_a_cell_with_two_valid_displacements_has_none_at_all() -> None:
    assert clean([1, 16, 2, 16])[:, 0].tolist() == [0, 0, 0, 0]
    assert clean([1, 16, 2, 3])[:, 0].tolist() == [1, 1.5, 2, 3]


def test_a_grid_without_cells_is_refused() -> None:
    with pytest.raises(UserError, match=r"config: option rows: 0 is not allowed; allowed: 1 to 100"):
        DisplacementOptions(rows=0)


def test_features_are_those_of_the_stored_first_person_frames(tmp_path: Path) -> None:
    frames = seen_along(np.stack([2.0 * np.arange(4), np.zeros(4)], axis=1))
    with write_shard(tmp_path / "0.h5", "first", {"width": WIDTH, "height": HEIGHT}) as shard:
        shard.write("nod/a", np.repeat(np.array(frames)[:, None], 3, axis=1))  # grey in all three channels
    sources = {"first": ClipFields([tmp_path / "0.h5"])}
    found = dict(FEATURES.extract(OPTIONS, sources, Compute(torch.device("cpu"), "never", 0.5)))
    np.testing.assert_array_equal(found["nod/a"], cumulative_displacement(frames, (WIDTH, HEIGHT), OPTIONS))
    assert list(found) == ["nod/a"]
