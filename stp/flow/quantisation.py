"""Flow fields as bytes, the form in which they are stored and fed to networks.

A byte v stands for (v - 128) 2b / 255 pixels/frame, b the bound. Two-stream networks (TSN) store 255 (x + b) / 2b, so
that zero flow is 127.5 before rounding and 128 after, and flip by 255 - v, which turns zero flow into 127: half the
training data then carry a bias of 2b / 255 pixels/frame, as much as a micro action. Here 128 is exactly zero, both in
`dequantise` and in `flip`.
"""

import numpy as np

ZERO = 128  # the byte of no motion


def quantise(flow: np.ndarray, bound: float = 20.0) -> np.ndarray:
    """Flow x in pixels/frame, any shape -> uint8: 255 (x + bound) / (2 bound), half to even, saturated; 0 -> 128.

    Raises:
        ValueError: `bound` is not positive, or the flow is not finite.
    """
    check_bound(bound)
    if not np.isfinite(flow).all():
        raise ValueError("flow must be finite")
    scaled = 127.5 + np.asarray(flow, np.float64) * (127.5 / bound)  # zero is exactly half way, whatever the bound
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def dequantise(fields: np.ndarray, bound: float = 20.0) -> np.ndarray:
    """uint8 of any shape -> float32 flow in pixels/frame: (v - 128) 2 bound / 255, so that 128 is exactly 0.

    Within 2 bound / 255 of the flow that was quantised, where that did not saturate.

    Raises:
        ValueError: `bound` is not positive, or `fields` are not uint8.
    """
    check_bound(bound)
    check_bytes(fields)
    return (fields.astype(np.float32) - ZERO) * np.float32(2 * bound / 255)


def flip(fields: np.ndarray) -> np.ndarray:
    """Quantised flow uint8 (..., 2, H, W) mirrored: columns reversed and x negated, v -> min(255, 256 - v); 128 stays.

    Raises:
        ValueError: `fields` are not uint8 or not of shape (..., 2, H, W).
    """
    check_bytes(fields)
    if fields.ndim < 3 or fields.shape[-3] != 2:
        raise ValueError(f"fields must have shape (..., 2, H, W), not {fields.shape}")
    mirrored = fields[..., ::-1].copy()
    x = mirrored[..., 0, :, :]
    mirrored[..., 0, :, :] = np.minimum(256 - x.astype(np.int16), 255)
    return mirrored


def check_bound(bound: float) -> None:
    if not bound > 0:
        raise ValueError(f"bound must be positive, not {bound}")


def check_bytes(fields: np.ndarray) -> None:
    if fields.dtype != np.uint8:
        raise ValueError(f"fields must be uint8, not {fields.dtype}")
