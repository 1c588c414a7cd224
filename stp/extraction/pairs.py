"""Pairs of frames of clips in batches of one frame size, read in threads ahead of their use.

A batch spans clips: many short ones keep a GPU or many cores as busy as a long one, and a long one never lies in memory
whole.
"""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from stp.errors import UserError
from stp.flow import TVL1Parameters
from stp.system.prefetch import prefetch
from stp.video.clip import GreyClip
from stp.warped import KeyPoints, WarpedFlowParameters, background_mask, detect_keypoints

PAIRS_AT_ONCE = 128
PIXELS_AT_ONCE = 1 << 25  # a float field of a batch stays under 300 MB
PAIRS_OF_A_THREAD = 8  # on CPUs: small batches fill and drain sooner, and still give every thread several pairs
GPU_BACKENDS = ("triton", "opencv-cuda")
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class FlowSettings:
    """The flow to compute: between the frames t and t + `step`, for all t.

    With a `detector` of key points, "orb" or "sift", warped flow is computed, too.
    """

    backend: str = "auto"
    tvl1: TVL1Parameters = field(default_factory=TVL1Parameters)
    detector: str | None = None
    warped_flow: WarpedFlowParameters = field(default_factory=WarpedFlowParameters)
    step: int = 1


@dataclass(frozen=True)
class Span:
    """Consecutive pairs of a clip, all in one batch."""

    clip: GreyClip
    first: int
    count: int


@dataclass(frozen=True)
class Frame:
    """A grey frame uint8 (H, W); for warped flow also its background mask and the key points that a thread detects."""

    grey: np.ndarray
    mask: np.ndarray | None = None
    keypoints: Future[KeyPoints] | None = None

    def found_keypoints(self) -> KeyPoints:
        """The key points, when they are detected."""
        assert self.keypoints is not None
        return self.keypoints.result()


@dataclass(frozen=True)
class Batch:
    """The spans of a batch, and both frames of every pair: one by one, and stacked as uint8 (N, H, W)."""

    spans: list[Span]
    pairs: list[tuple[Frame, Frame]]
    previous: np.ndarray
    following: np.ndarray


def pairs_at_once(height: int, width: int, backend: str, threads: int) -> int:
    """Pairs of frames of this size in one call of TV-L1."""
    most = PAIRS_AT_ONCE if backend in GPU_BACKENDS else min(PAIRS_AT_ONCE, PAIRS_OF_A_THREAD * threads)
    return max(1, min(most, PIXELS_AT_ONCE // (height * width)))


def plan_batches(clips: Iterable[GreyClip], settings: FlowSettings, threads: int) -> Iterator[list[Span]]:
    """All pairs of the clips in order, divided into batches; clips are taken one by one as they are needed."""
    batch: list[Span] = []
    room = 0
    for clip in clips:
        first, pairs = 0, clip.pairs(settings.step)
        if pairs and batch and (clip.height, clip.width) != (batch[0].clip.height, batch[0].clip.width):
            yield batch
            batch = []
        while first < pairs:
            if not batch:
                room = pairs_at_once(clip.height, clip.width, settings.backend, threads)
            count = min(room, pairs - first)
            batch.append(Span(clip, first, count))
            first, room = first + count, room - count
            if room == 0:
                yield batch
                batch = []
    if batch:
        yield batch


class ClipReader:
    """Reads a clip span by span: every frame is decoded once, and its key points are detected once."""

    def __init__(self, clip: GreyClip, settings: FlowSettings, pool: ThreadPoolExecutor) -> None:
        self._clip, self._settings, self._pool = clip, settings, pool
        self._source: Iterator[np.ndarray] | None = None
        self._read = 0
        self._overlap: list[Frame] = []  # read for the last span, and first in the pairs of the next

    def next_span(self, previous: np.ndarray, following: np.ndarray) -> list[Frame]:
        """Read the frames of the next n pairs, and put both of each pair into the arrays, uint8 (n, H, W)."""
        count, step = len(previous), self._settings.step
        frames = self._overlap + [self._next_frame() for _ in range(count + step - len(self._overlap))]
        self._overlap = frames[count:]
        np.stack([frame.grey for frame in frames[:count]], out=previous)
        np.stack([frame.grey for frame in frames[step:]], out=following)
        return frames

    def _next_frame(self) -> Frame:
        clip, settings, number = self._clip, self._settings, self._read
        if self._source is None:
            self._source = clip.read()
        grey = next(self._source, None)
        if grey is None:
            raise UserError(f"{clip.name}: ends after frame {number} of {clip.frames}; did it change meanwhile?")
        if grey.shape != (clip.height, clip.width):
            raise ValueError(f"{clip.name}: a frame is {grey.shape}, not {(clip.height, clip.width)}")
        self._read += 1
        if settings.detector is None:
            return Frame(grey)
        mask = None if clip.boxes is None else background_mask(grey.shape, clip.boxes[number])
        keypoints = self._pool.submit(detect_keypoints, grey, settings.detector, mask, settings.warped_flow)
        return Frame(grey, mask, keypoints)


class BatchReader:
    """Reads batches one after another, the spans of each at once in a pool: they are of different clips."""

    def __init__(self, settings: FlowSettings, pool: ThreadPoolExecutor) -> None:
        self._settings, self._pool = settings, pool
        self._last: ClipReader | None = None  # of the clip that the next batch may go on with

    def read(self, spans: list[Span]) -> Batch:
        """The batch of these spans; waits for the pool."""
        shape = (sum(span.count for span in spans), spans[0].clip.height, spans[0].clip.width)
        previous, following = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        jobs, done = [], 0
        for span in spans:
            if self._last is None or span.first == 0:
                self._last = ClipReader(span.clip, self._settings, self._pool)
            own = slice(done, done + span.count)
            done += span.count
            jobs.append(self._pool.submit(self._last.next_span, previous[own], following[own]))
        pairs: list[tuple[Frame, Frame]] = []
        for job in jobs:
            frames = job.result()
            pairs += zip(frames, frames[self._settings.step :], strict=False)
        return Batch(spans, pairs, previous, following)


def read_batches(
    plan: Iterator[list[Span]], settings: FlowSettings, pool: ThreadPoolExecutor
) -> Generator[Batch, None, None]:
    """The batches planned, with their frames; while one is in use, the next ones are read.

    Raises:
        UserError: a clip has fewer frames than it says, or an error in reading it.
    """
    return prefetch(BatchReader(settings, pool).read, plan, BATCHES_AHEAD)
