"""The homography that most correspondences agree on: RANSAC, compiled.

Fischler and Bolles, "Random sample consensus" (CACM 1981), with two changes because flow around moving people is off by
any fraction of a pixel, so that a sharp threshold counts some of it as background. A model's score is not its number of
inliers but a sum that falls off smoothly with their errors, as in Torr and Zisserman, "MLESAC" (CVIU 2000); and the
best model is refined by weighted least squares that maximise the same score, Tukey's biweight.

Sums are of integers or in one order, so that the result depends neither on threads nor on the CPU nor on the linear
algebra library.
"""

import numpy as np
from numba import njit

from stp.system.compilation import compiled

SAMPLES = np.random.default_rng(0).random((2000, 4))  # where in the list each sample's four correspondences lie, 0..1
CONFIDENCE = 0.999999  # that a sample without outliers was drawn when the search ends; samples are cheap
SMALLEST_TRIANGLE = 1e-4  # twice the area of three points of a sample, where the frame's longer side is 2
PERFECT = np.float32(1024)  # score of a correspondence without error
LEAST_GAIN = 0.001  # of the score, relative, by one step of the refinement, or it ends
MOST_STEPS = 20

kernel = njit(nogil=True, error_model="numpy")


@kernel
def triangle(x: np.ndarray, y: np.ndarray, i: int, j: int, k: int) -> float:
    """Twice the signed area of three of the points."""
    return (x[j] - x[i]) * (y[k] - y[i]) - (x[k] - x[i]) * (y[j] - y[i])


@kernel
def triangles(x: np.ndarray, y: np.ndarray, s: np.ndarray) -> tuple[float, float, float, float]:
    """Areas in a sample of four points: of the first three with each replaced by the fourth, then as they are."""
    return (
        triangle(x, y, s[3], s[1], s[2]),
        triangle(x, y, s[0], s[3], s[2]),
        triangle(x, y, s[0], s[1], s[3]),
        triangle(x, y, s[0], s[1], s[2]),
    )


@kernel
def solve_sample(
    x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, sample: np.ndarray, matrix: np.ndarray
) -> bool:
    """The homography from four points to four points; False if three are nearly in line or a triangle is turned over.

    In the projective basis of three points the fourth's coordinates are triangles' areas; mapping one basis to the
    other is a sum of outer products of a target point and the line through the two other source points.
    """
    source, target = triangles(x, y, sample), triangles(u, v, sample)
    for k in range(4):
        if not (source[k] * target[k] > 0 and min(abs(source[k]), abs(target[k])) > SMALLEST_TRIANGLE):
            return False
    matrix[:] = 0
    for k in range(3):
        i, j, m = sample[k], sample[(k + 1) % 3], sample[(k + 2) % 3]
        weight = target[k] / source[k]
        line = (y[j] - y[m], x[m] - x[j], x[j] * y[m] - x[m] * y[j])
        for c in range(3):
            matrix[0, c] += weight * line[c] * u[i]
            matrix[1, c] += weight * line[c] * v[i]
            matrix[2, c] += weight * line[c]
    matrix /= matrix[2, 2]
    return True


@kernel
def closeness(
    x: np.float32, y: np.float32, u: np.float32, v: np.float32, h: tuple[np.float32, ...], error: np.float32
) -> np.float32:
    """1 where the homography meets the target, falling with the squared distance to 0 at `error` and beyond."""
    w = np.float32(1) / (h[6] * x + h[7] * y + np.float32(1))
    du, dv = (h[0] * x + h[1] * y + h[2]) * w - u, (h[3] * x + h[4] * y + h[5]) * w - v
    value = np.float32(1) - (du * du + dv * dv) / (error * error)
    return value if value > 0 else np.float32(0)  # unlike max(), 0 of a NaN


@kernel
def copy_entries(source: np.ndarray, target: np.ndarray) -> None:
    """One by one: for `target[:] = source` numba compiles the wording of an error, as long as all the rest."""
    for i in range(3):
        for j in range(3):
            target[i, j] = source[i, j]


@kernel
def entries(matrix: np.ndarray) -> tuple[np.float32, ...]:
    """The matrix row by row, without the last entry, which is 1."""
    h = matrix.astype(np.float32)
    return h[0, 0], h[0, 1], h[0, 2], h[1, 0], h[1, 1], h[1, 2], h[2, 0], h[2, 1]


@kernel
def score_of(x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, matrix: np.ndarray, error: np.float32) -> int:
    """How well the correspondences agree with the homography, a sum of integers: its order does not matter."""
    h = entries(matrix)
    score = np.int32(0)
    for i in range(len(x)):
        close = closeness(x[i], y[i], u[i], v[i], h, error)
        score += np.int32(PERFECT * (close * close * close))
    return int(score)


@kernel
def count_inliers(
    x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, matrix: np.ndarray, error: np.float32
) -> int:
    """Number of correspondences that the homography takes to nearer than `error` to their target."""
    h = entries(matrix)
    count = np.int32(0)
    for i in range(len(x)):
        count += np.int32(closeness(x[i], y[i], u[i], v[i], h, error) > 0)
    return int(count)


@kernel
def solve_normal_equations(a: np.ndarray, b: np.ndarray) -> bool:
    """Solve a x = b in place by Cholesky's factorisation of the lower triangle of a; False if a is nearly singular."""
    for i in range(len(b)):
        diagonal = a[i, i]
        for j in range(i + 1):
            for k in range(j):
                a[i, j] -= a[i, k] * a[j, k]
            if j < i:
                a[i, j] /= a[j, j]
        if not a[i, i] > 1e-12 * diagonal:
            return False
        a[i, i] = np.sqrt(a[i, i])
        for k in range(i):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i]
    for i in range(len(b) - 1, -1, -1):
        for k in range(i + 1, len(b)):
            b[i] -= a[k, i] * b[k]
        b[i] /= a[i, i]
    return True


@kernel
def gauss_newton_step(
    x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, error: np.float32, matrix: np.ndarray
) -> bool:
    """Move the homography, its last entry 1, towards a higher score; False if the points do not determine it.

    With p = (x, y, 1) / w and the projection (mu, mv), its derivatives by the eight entries are (p, 0, -mu p) and
    (0, p, -mv p), the last triples without their last number. So the normal equations consist of the weighted sums of
    p p^T times 1, mu, mv and mu^2 + mv^2.
    """
    sums, gradient = np.zeros((4, 3, 3)), np.zeros(8)
    h = entries(matrix)
    p = np.empty(3)
    for i in range(len(x)):
        close = np.float64(closeness(x[i], y[i], u[i], v[i], h, error))
        if close == 0:
            continue
        w = 1 / (matrix[2, 0] * x[i] + matrix[2, 1] * y[i] + 1)
        p[0], p[1], p[2] = x[i] * w, y[i] * w, w
        mu = matrix[0, 0] * p[0] + matrix[0, 1] * p[1] + matrix[0, 2] * w
        mv = matrix[1, 0] * p[0] + matrix[1, 1] * p[1] + matrix[1, 2] * w
        weight = close * close
        du, dv, squared = weight * (u[i] - mu), weight * (v[i] - mv), mu * mu + mv * mv
        for j in range(3):
            gradient[j] += du * p[j]
            gradient[3 + j] += dv * p[j]
            for k in range(j + 1):
                product = weight * p[j] * p[k]
                sums[0, j, k] += product
                sums[1, j, k] += mu * product
                sums[2, j, k] += mv * product
                sums[3, j, k] += squared * product
        for j in range(2):
            gradient[6 + j] -= (mu * du + mv * dv) * p[j]
    normal = np.zeros((8, 8))
    for j in range(3):
        for k in range(j + 1):
            normal[j, k] = normal[3 + j, 3 + k] = sums[0, j, k]
            if j < 2:
                normal[6 + j, 6 + k] = sums[3, j, k]
    for j in range(2):
        for k in range(3):
            normal[6 + j, k] = -sums[1, max(j, k), min(j, k)]
            normal[6 + j, 3 + k] = -sums[2, max(j, k), min(j, k)]
    if not solve_normal_equations(normal, gradient):
        return False
    for k in range(8):
        matrix[k // 3, k % 3] += gradient[k]
    return True


@kernel
def refine(x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, error: np.float32, matrix: np.ndarray) -> None:
    """Take the homography to the nearest maximum of its score."""
    most, trial = score_of(x, y, u, v, matrix, error), matrix.copy()
    for _ in range(MOST_STEPS):
        if not gauss_newton_step(x, y, u, v, error, trial):
            break
        score, before = score_of(x, y, u, v, trial, error), most
        if score > before:
            most = score
            copy_entries(trial, matrix)
        if score <= before * (1 + LEAST_GAIN):
            break


@compiled(nogil=True, error_model="numpy")
def ransac(
    x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, error: np.float32, samples: np.ndarray
) -> tuple[np.ndarray, int]:
    """`fit_homography` of float32 coordinates within about -1..1; zeros and 0 if no sample gave one."""
    best, matrix, sample = np.zeros((3, 3)), np.empty((3, 3)), np.empty(4, np.int64)
    most = drawn = 0
    enough = float(len(samples))
    while drawn < enough:
        for k in range(4):
            sample[k] = int(samples[drawn, k] * len(x))
        drawn += 1
        if not solve_sample(x, y, u, v, sample, matrix):
            continue
        score = score_of(x, y, u, v, matrix, error)
        if score > most:
            most = score
            copy_entries(matrix, best)
            spoilt = 1 - (count_inliers(x, y, u, v, matrix, error) / len(x)) ** 4  # probability, of a sample
            enough = min(enough, np.log(1 - CONFIDENCE) / np.log(spoilt)) if spoilt > 0 else 0.0
    if most == 0:
        return best, 0
    refine(x, y, u, v, error, best)
    return best, count_inliers(x, y, u, v, best, error)


def fit_homography(source: np.ndarray, target: np.ndarray, error: float) -> tuple[np.ndarray, int]:
    """The homography that takes most of the points to within `error` pixels of where they belong.

    Args:
        source: float32 (n, 2), x and y in pixels.
        target: float32 (n, 2), where each of them should go.
        error: largest distance of an inlier, in pixels.

    Returns:
        float64 (3, 3), last entry 1, that minimises the inliers' squared distances, and the number of inliers. The
        identity and 0 where all samples are degenerate, as fewer than four points are. Samples have a fixed seed: the
        result depends on the arguments alone.
    """
    if len(source) < 4:
        return np.eye(3), 0
    low, high = source.min(axis=0).astype(np.float64), source.max(axis=0).astype(np.float64)
    centre, scale = (low + high) / 2, 2 / max((high - low).max(), 1e-6)  # of both sets, so that errors scale alike
    x, y = np.ascontiguousarray(((source - centre) * scale).T, np.float32)
    u, v = np.ascontiguousarray(((target - centre) * scale).T, np.float32)
    matrix, inliers = ransac(x, y, u, v, np.float32(error * scale), SAMPLES)
    if inliers == 0:
        return np.eye(3), 0
    # Back to pixels, without the linear algebra library.
    matrix[:, 2] -= scale * (matrix[:, 0] * centre[0] + matrix[:, 1] * centre[1])
    matrix[:, :2] *= scale
    matrix[:2] = matrix[:2] / scale + centre[:, np.newaxis] * matrix[2]
    return matrix / matrix[2, 2], inliers
