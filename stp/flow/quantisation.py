"""Flow as bytes, the form in which fields are stored and fed to networks.

A byte v stands for (v - 128) 2b / 255 pixels/frame, b the bound. Two-stream networks (TSN) store 255 (x + b) / 2b, so
that zero flow is 127.5 before rounding and 128 after, and flip by 255 - v, which turns zero flow into 127: half the
training data then carry a bias of 2b / 255 pixels/frame, as much as a micro action. Here 128 is exactly zero, in
`dequantise` and wherever a field is mirrored: v becomes 256 - v.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stp.flow.arrays import Array, as_numpy, like

ZERO = 128  # the byte of no motion


def quantise(flow: Array, bound: float) -> Array:
    """Flow x in pixels/frame, any shape -> uint8: 255 (x + bound) / (2 bound), half to even, saturated; 0 -> 128.

    A NumPy array gives an array, a torch tensor a tensor on its device.

    Raises:
        ValueError: `bound` is not positive, or the flow is not finite.
    """
    check_bound(bound)
    values = as_numpy(flow, "flow")
    if not np.isfinite(values).all():
        raise ValueError("flow must be finite")
    scaled = 127.5 + values.astype(np.float64) * (127.5 / bound)  # zero is exactly half way, whatever the bound
    return like(np.clip(np.rint(scaled), 0, 255).astype(np.uint8), flow)


def dequantise(fields: Array, bound: float) -> Array:
    """uint8 of any shape -> float32 flow in pixels/frame: (v - 128) 2 bound / 255, so that 128 is exactly 0.

    Within 2 bound / 255 of the flow that was quantised, where that did not saturate. A NumPy array gives an array, a
    torch tensor a tensor on its device.

    Raises:
        ValueError: `bound` is not positive, or `fields` are not uint8.
    """
    check_bound(bound)
    values = as_numpy(fields, "fields")
    check_bytes(values)
    return like((values.astype(np.float32) - ZERO) * np.float32(2 * bound / 255), fields)


def bound_of(parameters: Mapping[str, Any]) -> float:
    """The pixels/frame that map to the ends of 0..255, from the parameters of a shard of flow."""
    return float(parameters["bound"])


def check_bound(bound: float) -> None:
    """Raise ValueError unless the bound is positive."""
    if not bound > 0:
        raise ValueError(f"bound must be positive, not {bound}")


def check_bytes(fields: np.ndarray) -> None:
    """Raise ValueError unless the fields are uint8."""
    if fields.dtype != np.uint8:
        raise ValueError(f"fields must be uint8, not {fields.dtype}")
