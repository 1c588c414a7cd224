"""Histograms of orientations around points of one layer of a frame: HOG, HOF, MBHx and MBHy, compiled.

Each pixel has four vectors: the gradient of the image, the flow, and the gradients of the flow's x and of its y. A
vector adds its length to the two bins of 8 that its direction lies between, in proportion. A patch around a point has
2x2 cells, and a descriptor consists of the cells' histograms.

Instead of integral histograms of the whole layer, which would be 30 MB at 340x256 and lose the last digits of small
sums, one pass goes down the image. `columns` holds the sums over the last rows of a cell's height, for each pixel of a
row; a running sum along it gives the histograms of all cells that end in this row; and these are kept for as many
rows as the lower cells of a patch lie below the upper ones. Sums are float64, so that taking away what was added
leaves nothing behind.
"""

import math

import numpy as np
from numba import njit

from stp.system.compilation import compiled
from stp.trajectories.parameters import TrajectoryParameters

BINS = 8
STILL = 16  # the ninth bin of HOF, of pixels without flow
FIRST, END = (0, 8, 17, 25), (8, 17, 25, 33)  # bins of HOG, HOF, MBHx and MBHy among those of a cell
ALL = 33
DESCRIPTOR = 4 * ALL  # numbers of a point in a frame: HOG 32, HOF 36, MBHx 32, MBHy 32
HOF = 1
ONE, LAST = np.uintp(1), np.uintp(BINS - 1)  # unsigned: numba asks of a signed index whether it counts from the end

# The direction of a vector at up to 45 degrees, in bins, by the tangent t: t times a polynomial of t * t.
_SERIES = np.polynomial.Chebyshev.interpolate(lambda s: 4 / math.pi * np.arctan(np.sqrt(s)) / np.sqrt(s), 8, [0, 1])
A0, A1, A2, A3, A4, A5, A6, A7, A8 = (np.float32(a) for a in _SERIES.convert(kind=np.polynomial.Polynomial).coef)

kernel = njit(nogil=True, error_model="numpy")
pixel_kernel = njit(nogil=True, error_model="numpy", forceinline=True)  # inlined, so that loops over a row vectorise


@pixel_kernel
def direction(x: np.float32, y: np.float32) -> np.float32:
    """The direction of a vector in bins of 45 degrees, 0 to 8 (which is 0 again), to 1e-6; 0 of no vector."""
    wide, high = abs(x), abs(y)
    low, large = min(wide, high), max(wide, high)
    t = low / large if large > 0 else np.float32(0)
    s = t * t
    angle = t * (A0 + s * (A1 + s * (A2 + s * (A3 + s * (A4 + s * (A5 + s * (A6 + s * (A7 + s * A8))))))))
    angle = np.float32(2) - angle if high > wide else angle
    angle = np.float32(4) - angle if x < 0 else angle
    return np.float32(8) - angle if y < 0 else angle


@kernel
def divide(
    x: np.ndarray, y: np.ndarray, low: np.ndarray, shares: np.ndarray, still: np.ndarray, least: np.float32
) -> None:
    """The first of the two bins of each vector of a row, and the shares (2, W) of its length in both.

    Vectors of a length up to `least` have `still` 1 and no shares.
    """
    for i in range(len(x)):
        length = np.sqrt(x[i] * x[i] + y[i] * y[i])
        still[i] = np.float32(1) if length <= least else np.float32(0)
        length = np.float32(0) if length <= least else length
        angle = direction(x[i], y[i])
        first = np.int32(angle)
        second = (angle - np.float32(first)) * length
        low[i] = first & np.int32(BINS - 1)
        shares[0, i], shares[1, i] = length - second, second


@kernel
def gradient(above: np.ndarray, here: np.ndarray, below: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Differences of a row's neighbours, (-1, 0, 1); zero across the border, where the image is mirrored."""
    last = len(here) - 1
    x[0] = x[last] = np.float32(0)
    for i in range(1, last):
        x[i] = np.float32(here[i + 1]) - np.float32(here[i - 1])
    for i in range(last + 1):
        y[i] = np.float32(below[i]) - np.float32(above[i])


@kernel
def row_vectors(
    image: np.ndarray, flow: np.ndarray, row: int, low: np.ndarray, shares: np.ndarray, still: np.ndarray, least: float
) -> None:
    """Bins and shares of the four vectors of each pixel of a row: `low` (4, W), `shares` (4, 2, W), `still` (W,)."""
    height, width = image.shape
    up, down = (row - 1, row + 1) if 0 < row < height - 1 else (row, row)
    x, y, none = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    zero = np.float32(-1)  # shorter than any vector
    gradient(image[up], image[row], image[down], x, y)
    divide(x, y, low[0], shares[0], none, zero)
    divide(flow[0, row], flow[1, row], low[HOF], shares[HOF], still, np.float32(least))
    for part in range(2):
        gradient(flow[part, up], flow[part, row], flow[part, down], x, y)
        divide(x, y, low[2 + part], shares[2 + part], none, zero)


@kernel
def replace_in_columns(
    columns: np.ndarray,
    old: tuple[np.ndarray, np.ndarray, np.ndarray],
    new: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Take a row that is no longer among the last ones out of the columns (W, ALL), and add the new one."""
    old_low, old_shares, old_still = old
    low, shares, still = new
    for i in range(np.uintp(len(columns))):
        column = columns[i]
        for k in range(np.uintp(4)):
            first = np.uintp(FIRST[k])
            b = np.uintp(old_low[k, i])
            column[first + b] -= old_shares[k, 0, i]
            column[first + ((b + ONE) & LAST)] -= old_shares[k, 1, i]
            b = np.uintp(low[k, i])
            column[first + b] += shares[k, 0, i]
            column[first + ((b + ONE) & LAST)] += shares[k, 1, i]
        column[STILL] += still[i] - old_still[i]


@kernel
def sum_cells(columns: np.ndarray, total: np.ndarray, cell: int, cells: np.ndarray) -> None:
    """Histograms (W - cell + 1, ALL) of the cells that end in this row, from its columns; `total` is scratch."""
    for b in range(np.uintp(ALL)):
        total[b] = 0.0
        for i in range(np.uintp(cell)):
            total[b] += columns[i, b]
        cells[0, b] = total[b]
    for i in range(ONE, np.uintp(len(cells))):
        into, out, here = columns[i + np.uintp(cell - 1)], columns[i - ONE], cells[i]
        for b in range(np.uintp(ALL)):
            value = total[b] + (into[b] - out[b])
            total[b] = value
            here[b] = value


@kernel
def normalise(upper: np.ndarray, lower: np.ndarray, x: int, cell: int, epsilon: np.float32, out: np.ndarray) -> None:
    """The descriptor of the patch at column x, by the histograms of the rows of its upper and lower cells.

    Numbers lie by kind, then by cell (upper left, lower left, upper right, lower right), then by bin.
    """
    corners = upper[x], lower[x], upper[x + cell], lower[x + cell]
    at = np.uintp(0)
    for k in range(4):
        first, bins = np.uintp(FIRST[k]), np.uintp(END[k] - FIRST[k])
        total = np.float32(0)
        for part in range(4):
            cells = corners[part]
            start = at + np.uintp(part) * bins
            for b in range(bins):
                value = max(cells[first + b], np.float32(0)) + epsilon
                out[start + b] = value
                total += value
        share = np.float32(1) / total
        for i in range(at, at + np.uintp(4) * bins):
            out[i] = np.sqrt(out[i] * share)
        at += np.uintp(4) * bins


@compiled(nogil=True, error_model="numpy")
def describe_patches(
    image: np.ndarray,
    flow: np.ndarray,
    patches: np.ndarray,
    begin: np.ndarray,
    cell: int,
    thresholds: tuple[float, float],
    out: np.ndarray,
) -> None:
    """`describe` into `out`.

    `patches` are column and number of each, by rows, and `begin` says where those of each row begin; `thresholds` are
    the least flow and what is added to each bin.
    """
    height, width = image.shape
    columns, total = np.zeros((width, ALL)), np.empty(ALL)
    low, shares = np.zeros((cell + 1, 4, width), np.int32), np.zeros((cell + 1, 4, 2, width), np.float32)
    still = np.zeros((cell + 1, width), np.float32)
    cells = np.empty((cell + 1, width - cell + 1, ALL), np.float32)
    for row in range(height):
        new, old = row % (cell + 1), (row + 1) % (cell + 1)
        row_vectors(image, flow, row, low[new], shares[new], still[new], thresholds[0])
        replace_in_columns(columns, (low[old], shares[old], still[old]), (low[new], shares[new], still[new]))
        bottom = row - cell + 1  # the row where cells begin that end in this one; lower ones of patches that begin at
        top = bottom - cell
        if bottom >= 0 and (begin[bottom + 1] > begin[bottom] or (top >= 0 and begin[top + 1] > begin[top])):
            sum_cells(columns, total, cell, cells[bottom % (cell + 1)])
        if top >= 0:
            upper, lower = cells[top % (cell + 1)], cells[bottom % (cell + 1)]
            for k in range(begin[top], begin[top + 1]):
                normalise(upper, lower, patches[k, 0], cell, np.float32(thresholds[1]), out[patches[k, 1]])


def describe(image: np.ndarray, flow: np.ndarray, corners: np.ndarray, parameters: TrajectoryParameters) -> np.ndarray:
    """HOG, HOF, MBHx and MBHy of patches of a layer.

    Args:
        image: uint8 (H, W), grey.
        flow: float32 (2, H, W), pixels of the layer, without the camera's motion.
        corners: int32 (n, 2), column and row of the upper left pixel of each patch, which lies inside the layer.
        parameters: the side of a patch, and thresholds.

    Returns:
        float32 (n, 132): 32 of HOG, 36 of HOF, 32 of MBHx and 32 of MBHy, each the square root of shares with sum 1.
    """
    out = np.empty((len(corners), DESCRIPTOR), np.float32)
    if len(corners):
        order = np.argsort(corners[:, 1], kind="stable")
        patches = np.stack([corners[order, 0], order], axis=1)
        begin = np.searchsorted(corners[order, 1], np.arange(len(image) + 1))
        thresholds = parameters.min_flow, parameters.epsilon
        describe_patches(image, flow, patches, begin, parameters.patch // 2, thresholds, out)
    return out
