"""Descriptors of patches beside a plain statement of their rule, and of patches whose numbers are known by hand."""

import numpy as np
import pytest

from stp.trajectories.histograms import describe
from stp.trajectories.parameters import TrajectoryParameters

KINDS = {"hog": slice(0, 32), "hof": slice(32, 68), "mbhx": slice(68, 100), "mbhy": slice(100, 132)}


def gradients(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences of neighbours (-1, 0, 1) in x and in y; the border is mirrored."""
    padded = np.pad(plane.astype(np.float64), 1, mode="reflect")
    return padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]


def histogram(x: np.ndarray, y: np.ndarray, still: np.ndarray | None = None) -> np.ndarray:
    """Histogram of the directions of the vectors of a cell, by one vector after another; a ninth bin counts `still`."""
    bins = np.zeros(8 if still is None else 9)
    for index in np.ndindex(x.shape):
        if still is not None and still[index]:
            bins[8] += 1
            continue
        length, place = np.hypot(x[index], y[index]), np.arctan2(y[index], x[index]) % (2 * np.pi) * 4 / np.pi
        first = int(place) % 8
        bins[first] += length * (1 - (place - int(place)))
        bins[(first + 1) % 8] += length * (place - int(place))
    return bins


def plain(image: np.ndarray, flow: np.ndarray, corner: tuple[int, int], patch: int) -> np.ndarray:
    """The descriptor of one patch."""
    still = np.hypot(*flow.astype(np.float64)) <= 0.4
    planes = [(*gradients(image), None), (*flow, still), (*gradients(flow[0]), None), (*gradients(flow[1]), None)]
    half, parts = patch // 2, []
    for x, y, none in planes:
        cells = []
        for left in (corner[0], corner[0] + half):
            for top in (corner[1], corner[1] + half):
                cell = slice(top, top + half), slice(left, left + half)
                cells.append(histogram(x[cell], y[cell], None if none is None else none[cell]) + 0.05)
        values = np.concatenate(cells)
        parts.append(np.sqrt(values / values.sum()))
    return np.concatenate(parts)


@pytest.mark.parametrize("patch", [32, 12])
def test_descriptors_are_those_of_a_plain_statement(patch: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 45), dtype=np.uint8)
    flow = rng.normal(0, 1, (2, 37, 45)).astype(np.float32)
    flow[:, 5:15] *= 100  # beside vectors that are far larger, small sums keep their digits
    corners = [(0, 0), (45 - patch, 37 - patch), (7, 3), (0, 5), (7, 3)]
    found = describe(image, flow, np.array(corners, np.int32), TrajectoryParameters(patch=patch))
    assert (found.dtype, found.shape) == (np.float32, (5, 132))
    for corner, descriptor in zip(corners, found, strict=True):
        np.testing.assert_allclose(descriptor, plain(image, flow, corner, patch), rtol=0, atol=1e-6)


def test_a_ramp_fills_one_bin_of_every_cell() -> None:
    image = np.tile(np.arange(0, 80, 2, dtype=np.uint8), (40, 1))  # brighter by 2 a pixel: a gradient of 4 rightwards
    descriptor = describe(
        image, np.zeros((2, 40, 40), np.float32), np.array([[4, 4]], np.int32), TrajectoryParameters()
    )
    total = 4 * (16 * 16 * 4 + 8 * 0.05)
    hog = np.sqrt(np.array([16 * 16 * 4 + 0.05] + 7 * [0.05]) / total)
    np.testing.assert_allclose(descriptor[0, KINDS["hog"]], np.tile(hog, 4), atol=1e-6)
    total = 4 * (16 * 16 + 9 * 0.05)
    hof = np.sqrt(np.array(8 * [0.05] + [16 * 16 + 0.05]) / total)
    np.testing.assert_allclose(descriptor[0, KINDS["hof"]], np.tile(hof, 4), atol=1e-6)
    np.testing.assert_allclose(descriptor[0, KINDS["mbhx"]], np.sqrt(1 / 32), atol=1e-6)  # no gradient: all alike


@pytest.mark.parametrize(
    ("vector", "bins"),
    [((2, 0), [0]), ((1, 1), [1]), ((0, 3), [2]), ((-2, -2), [5]), ((1, -1), [7]), ((0.4, 0), [8]), ((1, 0.2), [0, 1])],
)
def test_hof_has_flow_in_the_bins_of_its_direction(vector: tuple[float, float], bins: list[int]) -> None:
    flow = np.ones((2, 40, 40), np.float32) * np.array(vector, np.float32)[:, None, None]
    image = np.zeros((40, 40), np.uint8)
    descriptor = describe(image, flow, np.array([[0, 0]], np.int32), TrajectoryParameters())[0, KINDS["hof"]]
    assert sorted(np.argsort(descriptor[:9])[-len(bins) :]) == bins


def test_squares_of_each_kind_add_up_to_1() -> None:
    rng = np.random.default_rng(1)
    flow = rng.normal(0, 2, (2, 50, 60)).astype(np.float32)
    corners = rng.integers(0, 18, (100, 2)).astype(np.int32)
    found = describe(rng.integers(0, 256, (50, 60), dtype=np.uint8), flow, corners, TrajectoryParameters())
    for kind in KINDS.values():
        np.testing.assert_allclose((found[:, kind] ** 2).sum(axis=1), 1, atol=1e-5)
