"""Duality-based TV-L1 optical flow in plain torch: the readable statement of the algorithm, on any torch device.

After Zach, Pock and Bischof, "A duality based approach for realtime TV-L1 optical flow" (DAGM 2007), and Sanchez,
Meinhardt-Llopis and Facciolo, "TV-L1 optical flow estimation" (IPOL 2013), with the choices of either of OpenCV's
implementations. The fused engines are tested against it; by itself it is slow, since every operation passes over whole
images.

Everything is elementwise over a batch of N pairs, and sums are taken by halving, so that the result of a pair depends
neither on its batch nor on the number of threads. A pair that has converged stays in the batch and is left as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from stp.flow.numba_engine import pyramid_sizes
from stp.flow.parameters import TVL1Parameters

BATCH_PIXELS = 2**23  # frame pixels solved at once: some forty float32 fields of them are alive, about 1.3 GB
SMALLEST_GRADIENT = float(np.finfo(np.float32).eps)  # squared; below, the data term is switched off as in OpenCV


@dataclass(frozen=True)
class Linearisation:
    """Brightness difference of N pairs linearised about a flow: rho = constant + gradient . u; grey values."""

    gradient: Tensor  # float32 (N, 2, H, W): d/dx and d/dy of the warped second image
    constant: Tensor  # float32 (N, H, W)
    squared: Tensor  # float32 (N, H, W): |gradient|^2


# ------------------------------------------------------------------------------------------------------- resampling


def source_positions(
    size: int, source: int, scale: float, half_pixel: bool, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The two source pixels between which each of `size` target pixels lies, and the fraction past the first."""
    shift = 0.5 if half_pixel else 0.0
    position = ((torch.arange(size, dtype=torch.float64) + shift) * scale - shift).clamp(0, source - 1)
    first = position.long()
    fraction = (position - first).float()
    return first.to(device), (first + 1).clamp(max=source - 1).to(device), fraction.to(device)


def resize(images: Tensor, height: int, width: int, scale_y: float, scale_x: float, half_pixel: bool) -> Tensor:
    """Bilinear resampling of float32 (..., H, W); a scale is source pixels per target pixel.

    Pixel centres lie at half pixels in "opencv-cpu", pixel 0 on pixel 0 in "opencv-cuda".
    """
    left, right, tx = source_positions(width, images.shape[-1], scale_x, half_pixel, images.device)
    above, below, ty = source_positions(height, images.shape[-2], scale_y, half_pixel, images.device)
    across = images[..., left] + tx * (images[..., right] - images[..., left])
    upper, lower = across[..., above, :], across[..., below, :]
    return upper + ty[:, None] * (lower - upper)


def build_pyramid(images: Tensor, sizes: np.ndarray, parameters: TVL1Parameters) -> list[Tensor]:
    """Grey levels of (N, H, W) images as float32, finest first."""
    scale, half_pixel = 1 / parameters.scale_step, parameters.semantics == "opencv-cpu"
    levels = [images.float()]
    for height, width in sizes[1:].tolist():
        levels.append(resize(levels[-1], height, width, scale, scale, half_pixel))
    return levels


def median_5x5(flow: Tensor) -> Tensor:
    """5x5 median of each plane of (N, 2, H, W), edge pixels repeated."""
    windows = functional.pad(flow, (2, 2, 2, 2), mode="replicate").unfold(2, 5, 1).unfold(3, 5, 1)
    return windows.flatten(4).sort(dim=4).values[..., 12]  # torch.median is no deterministic algorithm on GPUs


# ---------------------------------------------------------------------------------------------------- linearisation


def image_gradients(images: Tensor) -> Tensor:
    """Images (N, H, W) and their central differences, edge pixels repeated: (N, 3, H, W) of grey, d/dx, d/dy."""
    padded = functional.pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    dx = 0.5 * (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2])
    dy = 0.5 * (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1])
    return torch.stack([images, dx, dy], dim=1)


def cubic_weights(t: Tensor, a: float) -> list[Tensor]:
    """Keys' cubic kernel at the four taps around a sample that lies t past the second."""
    s = 1 - t
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, s)]
    return [a * t * s * s, near[0], near[1], a * s * t * t]


def warp(packed: Tensor, flow: Tensor, semantics: str) -> Tensor:
    """Cubic samples of (N, 3, H, W) at the pixels displaced by flow (N, 2, H, W).

    Outside the image lie zeros in "opencv-cpu"; in "opencv-cuda" its edge pixels repeat and weights are renormalised.
    """
    height, width = packed.shape[2:]
    columns = torch.arange(width, dtype=torch.float32, device=packed.device)
    rows = torch.arange(height, dtype=torch.float32, device=packed.device)[:, None]
    x = (columns + flow[:, 0]).clamp(-4, width + 2)  # all that is further out sees the same
    y = (rows + flow[:, 1]).clamp(-4, height + 2)
    left, above = x.floor(), y.floor()
    a = -0.75 if semantics == "opencv-cpu" else -0.5
    weights_x, weights_y = cubic_weights(x - left, a), cubic_weights(y - above, a)
    flat = packed.flatten(2)
    total, total_weight = torch.zeros_like(packed), torch.zeros_like(x)
    for row in range(4):
        tap_y = above.long() + (row - 1)
        for column in range(4):
            tap_x = left.long() + (column - 1)
            weight = weights_y[row] * weights_x[column]
            if semantics == "opencv-cpu":
                inside = (tap_x >= 0) & (tap_x < width) & (tap_y >= 0) & (tap_y < height)
                weight = weight * inside
            index = tap_y.clamp(0, height - 1) * width + tap_x.clamp(0, width - 1)
            taps = flat.gather(2, index.flatten(1)[:, None].expand(-1, 3, -1)).view_as(packed)
            total = total + weight[:, None] * taps
            total_weight = total_weight + weight
    return total if semantics == "opencv-cpu" else total / total_weight[:, None]


def linearise(reference: Tensor, packed: Tensor, flow: Tensor, semantics: str) -> Linearisation:
    """Expand the second image about its warp by `flow`; reference (N, H, W), packed (N, 3, H, W)."""
    grey, dx, dy = warp(packed, flow, semantics).unbind(1)
    constant = grey - dx * flow[:, 0] - dy * flow[:, 1] - reference
    return Linearisation(torch.stack([dx, dy], dim=1), constant, dx * dx + dy * dy)


# ---------------------------------------------------------------------------------------------- primal-dual iteration


def sum_of_pairs(values: Tensor) -> Tensor:
    """Sum over all but the first dimension by halving: the order of additions depends on the shape of a pair only."""
    values = values.flatten(1)
    size = 1 << (values.shape[1] - 1).bit_length()
    values = functional.pad(values, (0, size - values.shape[1]))
    while size > 1:
        size //= 2
        values = values[:, :size] + values[:, size:]
    return values[:, 0]


def threshold(flow: Tensor, linear: Linearisation, lambda_theta: float) -> Tensor:
    """Data term: the step along the image gradient that cancels rho, at most lambda * theta times the gradient."""
    rho = linear.constant + linear.gradient[:, 0] * flow[:, 0] + linear.gradient[:, 1] * flow[:, 1]
    step = (-rho / linear.squared).clamp(-lambda_theta, lambda_theta)
    step = torch.where(linear.squared > SMALLEST_GRADIENT, step, torch.zeros_like(step))
    return step[:, None] * linear.gradient


def divergence(dual: Tensor) -> Tensor:
    """Backward differences of p (N, 2, 2, H, W) = (flow channel, direction), zero left of and above the image."""
    along_x = functional.pad(dual[:, :, 0], (1, 0))
    along_y = functional.pad(dual[:, :, 1], (0, 0, 1, 0))
    return along_x.diff(dim=3) + along_y.diff(dim=2)


def forward_gradient(flow: Tensor) -> Tensor:
    """Forward differences of u (N, 2, H, W): (N, 2, 2, H, W), zero across the right and lower edges."""
    along_x = functional.pad(flow.diff(dim=3), (0, 1))
    along_y = functional.pad(flow.diff(dim=2), (0, 0, 0, 1))
    return torch.stack([along_x, along_y], dim=2)


def iterate(
    flow: Tensor, dual: Tensor, linear: Linearisation, parameters: TVL1Parameters
) -> tuple[Tensor, Tensor, Tensor]:
    """One primal-dual iteration: u and p, and of each pair the sum of squared updates of u."""
    p = parameters
    update = threshold(flow, linear, p.lambda_ * p.theta) + p.theta * divergence(dual)
    flow = flow + update
    gradient = (p.tau / p.theta) * forward_gradient(flow)
    norm = (gradient * gradient).sum(dim=2, keepdim=True).sqrt()
    return flow, (dual + gradient) / (1 + norm), sum_of_pairs(update * update)


class PairsInProgress:
    """u and p of N pairs on one level, of which only those still active are iterated."""

    def __init__(self, flow: Tensor, parameters: TVL1Parameters) -> None:
        n, _, height, width = flow.shape
        self.flow = flow
        self.dual = flow.new_zeros(n, 2, 2, height, width)
        self.parameters = parameters
        self.stop = parameters.epsilon**2 * height * width
        self.active = torch.ones(n, dtype=torch.bool, device=flow.device)

    def iterate(self, linear: Linearisation) -> Tensor:
        flow, dual, error = iterate(self.flow, self.dual, linear, self.parameters)
        self.flow = torch.where(self.active[:, None, None, None], flow, self.flow)
        self.dual = torch.where(self.active[:, None, None, None, None], dual, self.dual)
        return error

    def solve_filtered(self, linear: Linearisation) -> None:
        """ "opencv-cpu": a median filter before every `inner` iterations, the stop test after each."""
        self.active[:] = True
        for _ in range(self.parameters.outer):
            if self.parameters.median_filter > 1:
                self.flow = torch.where(self.active[:, None, None, None], median_5x5(self.flow), self.flow)
            for _ in range(self.parameters.inner):
                self.active &= self.iterate(linear) > self.stop
                if not self.active.any():
                    return

    def solve_lazily(self, linear: Linearisation) -> None:
        """ "opencv-cuda": no filter; odd iterations are tested, fewer the larger the last update was."""
        self.active[:] = True
        previous = torch.zeros_like(self.active, dtype=torch.float32)
        for n in range(self.parameters.inner * self.parameters.outer):
            tested = (previous < self.stop) if n % 2 == 1 else torch.zeros_like(self.active)
            error = self.iterate(linear)
            self.active &= ~tested | (error > self.stop)
            previous = torch.where(tested, error, previous - self.stop)
            if not self.active.any():
                return


def solve_level(reference: Tensor, moved: Tensor, flow: Tensor, parameters: TVL1Parameters) -> Tensor:
    """Flow (N, 2, H, W) refined on one pyramid level; p starts at zero and persists across warps."""
    pairs, packed = PairsInProgress(flow, parameters), image_gradients(moved)
    solve: Callable[[Linearisation], None]
    solve = pairs.solve_filtered if parameters.semantics == "opencv-cpu" else pairs.solve_lazily
    for _ in range(parameters.warps):
        solve(linearise(reference, packed, pairs.flow, parameters.semantics))
    return pairs.flow


def flow_of_batch(previous: Tensor, following: Tensor, parameters: TVL1Parameters) -> Tensor:
    """Flow (N, 2, H, W) of pairs (N, H, W), coarse to fine."""
    sizes = pyramid_sizes(previous.shape[1], previous.shape[2], parameters)
    references = build_pyramid(previous, sizes, parameters)
    moved = build_pyramid(following, sizes, parameters)
    flow = references[-1].new_zeros(len(previous), 2, *references[-1].shape[1:])
    for level in reversed(range(len(sizes))):
        height, width = (int(side) for side in sizes[level])
        if level < len(sizes) - 1:
            scale_y, scale_x = flow.shape[2] / height, flow.shape[3] / width
            flow = resize(flow, height, width, scale_y, scale_x, parameters.semantics == "opencv-cpu")
            flow = flow * (1 / parameters.scale_step)
        flow = solve_level(references[level], moved[level], flow, parameters)
    return flow


@torch.inference_mode()
def tvl1_torch(
    previous: np.ndarray, following: np.ndarray, parameters: TVL1Parameters, device: str | torch.device = "cpu"
) -> np.ndarray:
    """Flow (N, 2, H, W) float32 in pixels/frame of N pairs of uint8 (N, H, W) frames, in batches."""
    flow = np.empty((len(previous), 2, *previous.shape[1:]), np.float32)
    batch = max(1, BATCH_PIXELS // (previous.shape[1] * previous.shape[2]))
    for start in range(0, len(previous), batch):
        first, second = (
            torch.from_numpy(np.ascontiguousarray(frames[start : start + batch]).copy()).to(device)
            for frames in (previous, following)
        )
        flow[start : start + batch] = flow_of_batch(first, second, parameters).cpu().numpy()
    return flow
