"""A trial of the GPU: flow, a training step and scoring, each checked or timed."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from stp.data.run_name import RunName
from stp.flow import tvl1
from stp.methods import pyramid
from stp.setup.doctor import Finding
from stp.system.devices import Compute, autocast, configure
from stp.system.triton_support import triton_available
from stp.training.loop import Plan, Training
from stp.training.run import Run
from stp.training.scoring import PICTURES_AT_ONCE_ON_GPU, Scorer

WIDTH, HEIGHT = 340, 256
PAIRS = 256  # of a timed call
LARGEST_DIFFERENCE = 0.05  # pixels, of the mean; real clips differ by a hundredth, a wrong engine by whole pixels
VIDEOS = 32  # of a training step: the paper's mini-batch
CLASSES = tuple("abcdefg")


def try_gpu(device: torch.device) -> Iterator[Finding]:
    """A finding each on flow, training and scoring by the GPU; what fails is blocking."""
    for subject, attempt in (("GPU flow", try_flow), ("GPU training", try_training), ("GPU scoring", try_scoring)):
        try:
            yield Finding(subject, attempt(device))
        except (RuntimeError, OSError, ValueError) as error:  # torch, triton, the driver
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            fix = "free the GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "compute.device: cpu works"
            yield Finding(subject, f"fails: {reason}", fix=fix, blocking=True)


def moving_frames(number: int) -> np.ndarray:
    """Frames of a smooth random texture that moves by (2, 1) pixels a frame, uint8 (number, HEIGHT, WIDTH)."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT + number, WIDTH + 2 * number))
    spectrum = np.fft.rfft2(noise)
    rows, columns = np.fft.fftfreq(noise.shape[0])[:, None], np.fft.rfftfreq(noise.shape[1])[None]
    smooth = np.fft.irfft2(spectrum * np.exp(-((rows**2 + columns**2) / (2 * 0.03**2))), noise.shape)
    scene = np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.stack([scene[t : t + HEIGHT, 2 * t : 2 * t + WIDTH] for t in range(number)])


def seconds_of(call: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """Median seconds of a call, after one to warm up."""
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def try_flow(device: torch.device) -> str:
    """Pairs/s of TV-L1 by triton, and its difference from the processor's flow."""
    if not triton_available():
        return "none: triton needs compute capability 8.0 or higher, and a C compiler"
    frames = moving_frames(9)
    previous, following = frames[:-1], frames[1:]
    difference = np.linalg.norm(tvl1(previous, following, "triton") - tvl1(previous, following, "numba"), axis=1).mean()
    if not difference < LARGEST_DIFFERENCE:
        raise ValueError(f"flow differs from the processor's by {difference:.3f} pixels")
    many = [np.concatenate([part] * (PAIRS // len(part))) for part in (previous, following)]
    rate = PAIRS / seconds_of(lambda: tvl1(many[0], many[1], "triton"), device)
    return f"{rate:,.0f} pairs/s of {WIDTH}x{HEIGHT}, {difference:.4f} pixels from the processor's"


def untrained_run() -> tuple[Run, Plan]:
    """BN-Inception with a pyramid of 3 levels on flow, as in the paper but for its first weights."""
    run = Run(RunName("of", "3-level", 1), "pyramid", CLASSES, pyramid.PyramidOptions("bninception", "none"))
    return run, Plan(run, lambda: pyramid.build(run), pyramid.sampler(run))


def try_training(device: torch.device) -> str:
    """Images/s of a training step of the paper's mini-batch, not compiled."""
    configure(device)
    run, plan = untrained_run()
    training = Training(plan, Compute(device))
    training.network.train()
    sampler, size = plan.sampler, run.options.input_size
    shape = (VIDEOS, sampler.segments, sampler.subsegments, 2 * sampler.stack, size, size)
    images = torch.randint(0, 256, shape, device=device, dtype=torch.uint8).float()
    labels = torch.arange(VIDEOS, device=device) % len(CLASSES)
    losses: list[torch.Tensor] = []
    seconds = seconds_of(lambda: losses.append(training.step(images, labels)[0]), device)
    if not torch.stack(losses).isfinite().all():
        raise ValueError("the loss of a training step is not finite")
    return f"{images.shape[:3].numel() / seconds:,.0f} images/s of BN-Inception, bfloat16, not compiled"


def try_scoring(device: torch.device) -> str:
    """Images/s that pass the network when clips are scored."""
    run, plan = untrained_run()
    scorer = Scorer(plan.build(), run.options, plan.sampler).on(device)
    size = run.options.input_size
    images = torch.randint(0, 256, (PICTURES_AT_ONCE_ON_GPU, 2 * plan.sampler.stack, size, size), device=device)
    images = images.float().contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def scored() -> torch.Tensor:
        with autocast(device, run.options.precision):
            features: torch.Tensor = scorer.network.backbone(images)
        return features

    if not scored().isfinite().all():
        raise ValueError("features are not finite")
    return f"{len(images) / seconds_of(scored, device):,.0f} images/s of BN-Inception"
