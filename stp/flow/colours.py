"""Flow in colours, for looking at."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def colour_wheel(flow: np.ndarray, bound: float) -> np.ndarray:
    """Flow (2, H, W) in the colours of the Middlebury wheel, uint8 (H, W, 3) RGB, full at `bound` and beyond."""
    import torch
    from torchvision.utils import flow_to_image  # type: ignore[import-untyped]

    # The function scales by the longest vector, so every field gets one more row with vectors of length `bound`.
    # Longer vectors are cut to just below it: rounding must not make them the longest.
    length = np.maximum(np.linalg.norm(flow, axis=0), np.float32(1e-6))
    clipped = flow * np.minimum(1, np.float32(bound * (1 - 1e-6)) / length)
    longest = np.zeros((2, 1, flow.shape[2]), np.float32)
    longest[0] = bound
    image = flow_to_image(torch.from_numpy(np.concatenate([clipped, longest], axis=1, dtype=np.float32)))
    return image[:, :-1].permute(1, 2, 0).numpy()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Limit torch to one thread a call within the block: the fields are spread over threads already."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
