"""Crops: corner cropping with scale jitter and horizontal flips for training, fixed crops for testing (TSN)."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

TEST_SCALE = 0.875  # side of a test crop over the short side of the stored fields: TSN's 224 pixels of 256
TEST_CROPS = (1, 2, 5, 10)  # possible numbers of test crops


@dataclass(frozen=True)
class Crop:
    """A rectangle in pixels of the stored fields, mirrored or not."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of the crop."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def training_crop(height: int, width: int, scales: tuple[float, ...], rng: np.random.Generator) -> Crop:
    """A crop of jittered scale and aspect at one of TSN's 13 positions, flipped with probability 1/2.

    Sides are `scales` times the short side; height and width differ by at most one step of the scales.
    """
    sides = [max(1, int(min(height, width) * scale)) for scale in scales]
    pairs = [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1]
    crop_height, crop_width = pairs[rng.integers(len(pairs))]
    # In quarters of the remaining room: corners, centre, middles of the edges, middles of the quadrants.
    places = [(r, c) for r in (0, 2, 4) for c in (0, 2, 4)] + [(r, c) for r in (1, 3) for c in (1, 3)]
    row, column = places[rng.integers(len(places))]
    top, left = row * (height - crop_height) // 4, column * (width - crop_width) // 4
    return Crop(top, left, crop_height, crop_width, bool(rng.random() < 0.5))


def fixed_crops(height: int, width: int, crops: int) -> list[Crop]:
    """The square test crops: 1 is the centre; 2 adds its mirror image; 5 are corners and centre; 10 add the mirrors.

    Raises:
        ValueError: `crops` is not one of TEST_CROPS.
    """
    if crops not in TEST_CROPS:
        raise ValueError(f"there are {', '.join(map(str, TEST_CROPS))} test crops, not {crops}")
    side = max(1, round(min(height, width) * TEST_SCALE))
    centre = Crop((height - side) // 2, (width - side) // 2, side, side)
    corners = [Crop(top, left, side, side) for top in (0, height - side) for left in (0, width - side)]
    plain = [centre] if crops in (1, 2) else [*corners, centre]
    return plain + [replace(crop, flip=True) for crop in plain] if crops in (2, 10) else plain


def render(regions: Tensor, flip: bool, size: int, is_flow: bool) -> Tensor:
    """Flip and resize regions of stored fields: uint8 (n, C, h, w) -> float32 (n, C, size, size) on the same device.

    Values stay 0..255. Resizing is bilinear with antialiasing, as in TSN. In a mirrored flow field, x also changes its
    sign: it maps to min(255, 256 - x), so that 128, no motion, stays 128.
    """
    images = regions.float()
    if flip:
        images = images.flip(-1)
        if is_flow:
            images[:, 0] = (256 - images[:, 0]).clamp_(max=255)
    if images.shape[2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return images
