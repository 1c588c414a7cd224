"""TV-L1 optical flow on NVIDIA GPUs: batches of pairs, level by level, in triton kernels inside CUDA graphs.

The algorithm is that of `torch_engine`. A warp's iterations are launched without the host knowing which pairs have
converged: the kernels drop converged pairs themselves, so that a launch that comes too late costs microseconds and
changes nothing. One CUDA graph holds the median filter, `inner` iterations and the list of the pairs that remain; the
host launches one graph ahead of the number of remaining pairs that it reads back, and stops at zero.

Buffers and graphs belong to a `Workspace` for a frame size, parameters and a number of pairs; the last one is kept.
Fewer pairs than it holds leave the rest inactive, so that clips of different lengths share its graphs.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from stp.errors import UserError
from stp.flow.numba_engine import pyramid_sizes
from stp.flow.parameters import TVL1Parameters
from stp.system.prefetch import prefetch
from stp.system.triton_support import keep_kernels, runs_kernels, triton_installed

LINE = 32  # floats of a 128-byte line; rows are padded to it

# A program of the iteration kernel is a warp that walks a strip of 64 columns downwards, two pixels a lane, doing STEPS
# iterations of each row. Of 64 columns 56 count: each iteration loses one on either side, up to HALO; with 4, strips
# start on a 32-byte sector, and the usual widths take no more of them than with 3 (340: 6).
# A pixel-iteration reads 9 floats and writes 6 once in STEPS: 60 / 4 bytes, 19 with the halos of a walk of 32 rows,
# where one iteration at a time took 64.5.
STEPS = 4
HALO = 4
STRIP = 64 - 2 * HALO
STRIP_REGISTERS = 168
PROGRAMS_A_MULTIPROCESSOR = 12  # that 168 registers a thread allow
# Rows of a tile, which is what squared updates are added up of. A program walks down several tiles, up to WALK, as long
# as every program has some: a walk reads and computes 2 STEPS rows more than it writes, but many short walks take less
# time when few pairs remain. Large frames get larger tiles, because every program adds up the sums of a whole pair.
ROWS = 16
WALK = 2
MOST_TILES = 1024
MEDIAN_ROWS = 16  # rows that a program of the median filter walks down; it reads 5 more
BLOCK = 128  # pixels of a program in the other kernels, one a thread
LARGEST_BATCH = 4096  # pairs; `compact` lists them in one program
# Frame pixels of a batch: 385 pairs of 340x256, 4 GB. The last few pairs to converge leave the device half idle, and
# the larger the batch, the less that weighs.
BATCH_PIXELS = 2**25


def padded(width: int) -> int:
    """The floats that a row takes, with its padding."""
    return -(-width // LINE) * LINE


@dataclass(frozen=True)
class Level:
    """One level of the pyramid: its buffers for `capacity` pairs, and how its images are cut into tiles."""

    height: int
    width: int
    reference: Tensor  # (capacity, height * image_pitch), uint8 on the finest level, else float32
    moved: Tensor  # likewise, the second images
    image_pitch: int
    flow: Tensor  # float32 (2 sides, capacity, 2 fields of height * pitch)

    @property
    def pitch(self) -> int:
        return padded(self.width)

    @property
    def strips(self) -> int:
        return -(-max(1, self.width - 2 * HALO) // STRIP)  # the outer ones have no halo at the edge of the image

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        rows = ROWS
        while self.strips * -(-self.height // rows) > MOST_TILES and rows < self.height:
            rows *= 2
        return rows

    @property
    def tiles(self) -> int:
        return self.strips * -(-self.height // self.rows)

    @property
    def blocks(self) -> int:
        return -(-self.height * self.pitch // BLOCK)


def bytes_of_pair(sizes: np.ndarray) -> int:
    """Device memory that a pair takes in a workspace."""
    areas = [height * padded(width) for height, width in sizes.tolist()]
    flow, images = 4 * 4 * sum(areas), 2 * areas[0] + 2 * 4 * sum(areas[1:])
    result = 3 * 2 * 4 * areas[0]
    return flow + images + result + (8 + 3 + 3) * 4 * areas[0]


class Workspace:
    """Device buffers, and on a GPU captured graphs, for up to `capacity` pairs of one frame size."""

    def __init__(
        self, capacity: int, height: int, width: int, parameters: TVL1Parameters, device: torch.device
    ) -> None:
        from stp.flow import triton_kernels

        keep_kernels()
        self.kernels = triton_kernels
        self.capacity, self.parameters, self.device = capacity, parameters, device
        self.lazy = parameters.semantics == "opencv-cuda"
        self.half_pixel = parameters.semantics == "opencv-cpu"
        self.filtered = parameters.semantics == "opencv-cpu" and parameters.median_filter > 1
        self.levels = self.allocate_levels(pyramid_sizes(height, width, parameters))

        finest = self.levels[0]
        area = finest.height * finest.pitch
        self.moved = self.zeros(capacity * 3 * area)
        self.linear = self.zeros(capacity * 3 * area)
        self.dual = self.zeros(2 * capacity * 4 * area)
        most_tiles = max(level.tiles for level in self.levels)
        self.errors = self.zeros(2 * capacity * STEPS * most_tiles)
        self.partials = 1 << (most_tiles - 1).bit_length()  # the same for all levels: one kernel to compile
        self.state = torch.zeros((2, 5, capacity), dtype=torch.int32, device=device)  # see triton_kernels
        self.previous = torch.zeros((2, capacity), device=device)
        self.order = torch.zeros(capacity, dtype=torch.int32, device=device)
        self.remaining = torch.zeros(1, dtype=torch.int32, device=device)
        self.occupied = torch.zeros(capacity, dtype=torch.int32, device=device)

        on_gpu = device.type == "cuda"
        self.programs = 3  # in the interpreter; enough to see them share out the tiles
        if on_gpu:
            multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
            self.programs = multiprocessors * PROGRAMS_A_MULTIPROCESSOR
            self.remaining_on_host = [torch.zeros(1, dtype=torch.int32, pin_memory=True) for _ in range(2)]
            self.read_back = [torch.cuda.Event() for _ in range(2)]
        self.loops = [self.capture(level) if on_gpu else partial(self.launch_loop, level) for level in self.levels]

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A buffer without infinities: the kernels multiply by zero what lies beyond the image."""
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def allocate_levels(self, sizes: np.ndarray) -> list[Level]:
        levels = []
        for k, (height, width) in enumerate(sizes.tolist()):
            dtype, image_pitch = (torch.uint8, width) if k == 0 else (torch.float32, padded(width))
            reference, moved = (self.zeros(self.capacity, height * image_pitch, dtype=dtype) for _ in range(2))
            flow = self.zeros(2, self.capacity, 2 * height * padded(width))
            levels.append(Level(height, width, reference, moved, image_pitch, flow))
        return levels

    # ------------------------------------------------------------------------------------------------- iterations

    @property
    def launches(self) -> int:
        """Launches of a loop: those that do `inner` iterations, and one that repeats what the last did too much."""
        return -(-self.parameters.inner // STEPS) + 1

    def launch_loop(self, level: Level) -> None:
        """Median filter, `inner` iterations and the list of the remaining pairs: all between two looks of the host.

        Launches alternate between two slots of `state`, from slot 0 on, where `conclude` puts the last state back.
        """
        k, p = self.kernels, self.parameters
        stop = float(p.epsilon**2 * level.height * level.width)
        limit = p.inner * p.outer if self.lazy else p.inner
        grid = (self.programs,)
        if self.filtered:
            k.median_5x5[grid](
                level.flow, self.state, self.order, self.remaining, self.capacity,
                level.height, level.width, level.pitch, ROWS=MEDIAN_ROWS, num_warps=1,
            )  # fmt: skip
        for launch in range(self.launches):
            k.iterate[grid](
                level.flow, self.dual, self.linear, self.state, self.previous, self.errors, self.order, self.remaining,
                launch % 2, int(self.filtered and launch == 0), self.capacity,
                level.height, level.width, level.pitch, WALK, limit,
                stop, float(p.lambda_ * p.theta), float(p.theta), float(p.tau / p.theta),
                LAZY=self.lazy, ROWS=level.rows, STEPS=STEPS, HALO=HALO, PARTIALS=self.partials,
                num_warps=1, maxnreg=STRIP_REGISTERS,
            )  # fmt: skip
        k.conclude[(self.capacity,)](
            self.state, self.previous, self.order, self.remaining, self.launches % 2, self.capacity, LAZY=self.lazy
        )
        self.list_remaining()

    def list_remaining(self) -> None:
        block = 1 << (self.capacity - 1).bit_length()
        self.kernels.compact[(1,)](self.state, self.order, self.remaining, self.capacity, BLOCK=block)

    def capture(self, level: Level) -> Callable[[], None]:
        """A CUDA graph of `launch_loop`; the launches before it compile and load the kernels: no pair is active yet."""
        self.launch_loop(level)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.Stream(self.device), capture_error_mode="thread_local"):
            self.launch_loop(level)
        return graph.replay

    def iterate(self, loop: Callable[[], None]) -> None:
        """Run a warp's loops until no pair remains, or `outer` of them.

        On a GPU the next loop is launched before the last one's answer is awaited, so that the device never waits.
        """
        self.state[0, 0] = self.occupied  # ACTIVE
        self.state[0, 1], self.state[0, 4] = 0, 0  # COUNT, LAST
        self.previous[0] = 0
        self.list_remaining()
        p = self.parameters
        # Lazily, every launch does STEPS iterations, up to `inner` x `outer`, and one more repeats what was too much.
        loops = -(-(-(-p.inner * p.outer // STEPS) + 1) // self.launches) if self.lazy else p.outer
        for k in range(loops):
            loop()
            if self.device.type != "cuda":
                if self.remaining.item() == 0:
                    return
                continue
            self.remaining_on_host[k % 2].copy_(self.remaining, non_blocking=True)
            self.read_back[k % 2].record()
            if k > 0:
                self.read_back[(k - 1) % 2].synchronize()
                if self.remaining_on_host[(k - 1) % 2].item() == 0:
                    return

    # ------------------------------------------------------------------------------------------------ coarse to fine

    def build_pyramids(self, count: int) -> None:
        scale = 1 / self.parameters.scale_step
        for fine, coarse in zip(self.levels[:-1], self.levels[1:], strict=True):
            for source, target in ((fine.reference, coarse.reference), (fine.moved, coarse.moved)):
                self.kernels.resize[(coarse.blocks, count)](
                    source, target, self.state, self.capacity, fine.height, fine.width, fine.image_pitch,
                    coarse.height, coarse.width, coarse.pitch, scale, scale, 1.0,
                    FIELDS=1, HALF_PIXEL=self.half_pixel, BLOCK=BLOCK,
                )  # fmt: skip

    def enlarge_flow(self, coarse: Level, fine: Level, count: int) -> None:
        """Start the finer level, on side 0, from the coarser one's flow."""
        self.kernels.resize[(fine.blocks, count)](
            coarse.flow, fine.flow, self.state, self.capacity, coarse.height, coarse.width, coarse.pitch,
            fine.height, fine.width, fine.pitch, coarse.height / fine.height, coarse.width / fine.width,
            1 / self.parameters.scale_step, FIELDS=2, HALF_PIXEL=self.half_pixel, BLOCK=BLOCK,
        )  # fmt: skip

    def solve_level(self, level: Level, loop: Callable[[], None], count: int) -> None:
        self.state[:, 2:] = 0  # FLOW_SIDE, DUAL_SIDE
        self.dual[: self.capacity * 4 * level.height * level.pitch] = 0  # side 0; p persists across warps
        self.kernels.image_gradients[(level.blocks, count)](
            level.moved, self.moved, level.height, level.width, level.image_pitch, level.pitch, BLOCK=BLOCK
        )
        for _ in range(self.parameters.warps):
            self.kernels.linearise[(level.blocks, count)](
                level.reference, self.moved, level.flow, self.state, self.linear, self.capacity,
                level.height, level.width, level.image_pitch, level.pitch, CLAMPED=self.lazy, BLOCK=BLOCK,
            )  # fmt: skip
            self.iterate(loop)

    def solve(self, previous: Tensor, following: Tensor) -> Tensor:
        """Flow (n, 2, H, W) on the device of n <= capacity pairs of uint8 (n, H, W) frames in (pinned) host memory."""
        count, height, width = previous.shape
        finest, coarsest = self.levels[0], self.levels[-1]
        finest.reference[:count].copy_(previous.flatten(1), non_blocking=True)
        finest.moved[:count].copy_(following.flatten(1), non_blocking=True)
        self.occupied[:count], self.occupied[count:] = 1, 0
        self.build_pyramids(count)
        coarsest.flow[0] = 0
        for k in reversed(range(len(self.levels))):
            if k < len(self.levels) - 1:
                self.enlarge_flow(self.levels[k + 1], self.levels[k], count)
            self.solve_level(self.levels[k], self.loops[k], count)
        sides = self.state[0, 2, :count].long()
        flow = finest.flow[sides, torch.arange(count, device=self.device)]
        lines = flow.view(count, height, finest.pitch // LINE, 2, LINE).permute(0, 3, 1, 2, 4)
        return lines.reshape(count, 2, height, finest.pitch)[..., :width].contiguous()


def batch_capacity(wanted: int, sizes: np.ndarray, device: torch.device) -> int:
    """The wanted number of pairs, or as many as fit half the device memory that is free."""
    if device.type != "cuda":
        return wanted
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(wanted, free // 2 // bytes_of_pair(sizes)))


class LastWorkspace:
    """The workspace of the last call, kept because to allocate and capture one takes longer than a clip."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # it serves one call at a time
        self.key: tuple[int, int, TVL1Parameters, torch.device] | None = None
        self.wanted = 0
        self.workspace: Workspace | None = None

    def get(self, pairs: int, height: int, width: int, parameters: TVL1Parameters, device: torch.device) -> Workspace:
        """A workspace for batches of `pairs` pairs, or of fewer if that is too much; the lock must be held."""
        key = (height, width, parameters, device)
        wanted = min(1 << (pairs - 1).bit_length(), max(1, BATCH_PIXELS // (height * width)), LARGEST_BATCH)
        if self.workspace is None or key != self.key or wanted > self.wanted:
            self.workspace, self.key = None, None  # frees its memory first
            capacity = batch_capacity(wanted, pyramid_sizes(height, width, parameters), device)
            self.workspace = Workspace(capacity, height, width, parameters, device)
            self.key, self.wanted = key, wanted
        return self.workspace


LAST = LastWorkspace()


def check_device(device: torch.device) -> None:
    """Raise a UserError unless triton can run kernels there."""
    if not triton_installed():
        raise UserError("flow backend: 'triton' needs the package triton, which is missing: pip install triton")
    if not runs_kernels(device):
        raise UserError(
            f"flow backend: 'triton' cannot run on device {str(device)!r}; "
            "it needs a CUDA device of compute capability 8.0 or higher, and gcc or clang with Python's headers"
        )


def host_batch(frames: np.ndarray, device: torch.device) -> Tensor:
    """uint8 frames as a contiguous tensor, page-locked for a GPU."""
    batch = torch.from_numpy(np.require(frames, np.uint8, ["C", "W"]))
    if device.type != "cuda":
        return batch
    with torch.cuda.device(device):  # a thread begins on the first GPU
        return batch.pin_memory()


@torch.inference_mode()
def tvl1_triton(
    previous: np.ndarray, following: np.ndarray, parameters: TVL1Parameters, device: str | torch.device = "cuda"
) -> np.ndarray:
    """Flow (N, 2, H, W) float32 in pixels/frame of N pairs of uint8 (N, H, W) frames, in batches.

    On a GPU the result lies in page-locked memory, which the device writes directly.

    Raises:
        UserError: triton is not installed, or `device` is not a CUDA device that it supports.
    """
    device = torch.device(device)
    check_device(device)
    on_gpu = device.type == "cuda"
    if on_gpu and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    pairs, height, width = previous.shape
    result = torch.empty((pairs, 2, height, width), pin_memory=on_gpu)
    with LAST.lock, torch.cuda.device(device) if on_gpu else nullcontext():
        workspace = LAST.get(pairs, height, width, parameters, device)
        batches = [slice(start, start + workspace.capacity) for start in range(0, pairs, workspace.capacity)]
        # While a batch is solved, the next one is page-locked and the flow of the last one is copied.
        locked = prefetch(
            lambda batch: (host_batch(previous[batch], device), host_batch(following[batch], device)), batches, ahead=1
        )
        copying = torch.cuda.Stream() if on_gpu else None
        for batch, frames in zip(batches, locked, strict=True):
            flow = workspace.solve(*frames)
            if copying is not None:
                copying.wait_stream(torch.cuda.current_stream())
                flow.record_stream(copying)
            with torch.cuda.stream(copying):  # None changes nothing
                result[batch].copy_(flow, non_blocking=True)
        if on_gpu:
            torch.cuda.synchronize()
    return result.numpy()
