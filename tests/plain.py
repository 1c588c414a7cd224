"""The plain statement of how a sample becomes images, beside which the ways of `stp.sampling.loading` are tested."""

import numpy as np
import torch
from torch import Tensor

from stp.data.shards import StoredFields
from stp.sampling.crops import Crop, render


def cut(fields: StoredFields, indices: np.ndarray, crop: Crop, size: int, is_flow: bool) -> Tensor:
    """Images of a clip: stored (T, C, H, W) uint8 and field indices (M, stack) -> float32 (M, stack * C, size, size).

    Each field is cut and rendered once, however often it is used.
    """
    distinct, place = np.unique(indices, return_inverse=True)
    regions = torch.from_numpy(np.asarray(fields[distinct, :, *crop.slices]))
    images = render(regions, crop.flip, size, is_flow)
    return images[torch.from_numpy(place.reshape(-1))].reshape(len(indices), -1, size, size)
