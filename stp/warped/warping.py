"""Warping of a frame by a homography."""

import numpy as np

from stp.system.compilation import compiled


@compiled(nogil=True, error_model="numpy")
def warp_rows(
    previous: np.ndarray,
    following: np.ndarray,
    homography: tuple[np.float32, ...],
    border: np.float32,
    warped: np.ndarray,
) -> None:
    """`warp_following` into `warped`, by four loops over each row; all but the third vectorise."""
    height, width = previous.shape
    pixels = following.ravel()
    right, bottom = np.float32(width - 1) - border, np.float32(height - 1) - border
    a, b, c, d, e, f, g, h, k = homography
    columns = np.arange(width).astype(np.float32)
    sx, sy = np.empty(width, np.float32), np.empty(width, np.float32)
    inside, offset = np.empty(width, np.bool_), np.empty(width, np.int32)
    north_west, north_east = np.empty(width, np.uint8), np.empty(width, np.uint8)
    south_west, south_east = np.empty(width, np.uint8), np.empty(width, np.uint8)
    for y in range(height):
        x_part, y_part, scale_part = b * np.float32(y) + c, e * np.float32(y) + f, h * np.float32(y) + k
        for x in range(width):
            scale = np.float32(1) / (g * columns[x] + scale_part)
            sx[x] = (a * columns[x] + x_part) * scale
            sy[x] = (d * columns[x] + y_part) * scale
        for x in range(width):
            inside[x] = (sx[x] > border) & (sx[x] < right) & (sy[x] > border) & (sy[x] < bottom)
            in_x, in_y = (sx[x], sy[x]) if inside[x] else (np.float32(0), np.float32(0))
            left, top = np.int32(in_x), np.int32(in_y)
            sx[x] = in_x - np.float32(left)
            sy[x] = in_y - np.float32(top)
            offset[x] = top * np.int32(width) + left
        for x in range(width):
            if inside[x]:
                corner = offset[x]
                north_west[x], north_east[x] = pixels[corner], pixels[corner + 1]
                south_west[x], south_east[x] = pixels[corner + width], pixels[corner + width + 1]
        for x in range(width):
            nw, ne = np.float32(north_west[x]), np.float32(north_east[x])
            sw, se = np.float32(south_west[x]), np.float32(south_east[x])
            north, south = nw + sx[x] * (ne - nw), sw + sx[x] * (se - sw)
            sample = np.uint8(np.int32(north + sy[x] * (south - north) + np.float32(0.5)))
            warped[y, x] = sample if inside[x] else previous[y, x]


def warp_following(previous: np.ndarray, following: np.ndarray, homography: np.ndarray, border: int = 5) -> np.ndarray:
    """The following frame as the previous frame's camera would have seen it.

    Args:
        previous: uint8 (H, W).
        following: uint8 (H, W).
        homography: (3, 3), from pixels of `previous` to pixels of `following`.
        border: pixels; samples no further than this inside `following` are filled from `previous`, so that there is
            no flow there.

    Returns:
        uint8 (H, W), bilinear samples, computed in float32 and rounded to the nearest byte, halves upwards.

    Raises:
        ValueError: frames of two sizes or not uint8, or a negative border.
    """
    if previous.shape != following.shape or previous.dtype != np.uint8 or following.dtype != np.uint8:
        raise ValueError(
            f"frames must be uint8 of one size, not {previous.dtype} {previous.shape}, "
            f"{following.dtype} {following.shape}"
        )
    if border < 0:
        raise ValueError(f"border must not be negative, but is {border}")
    warped = np.empty(previous.shape, np.uint8)
    coefficients = tuple(np.asarray(homography, np.float32).ravel())
    warp_rows(np.ascontiguousarray(previous), np.ascontiguousarray(following), coefficients, np.float32(border), warped)
    return warped
