"""Flow and warped flow of clips, computed and written so that nearly all of the wall time is inside TV-L1.

    read, grey, key points -> flow of a batch -> align the frames -> flow of the batch before -> quantise, write
     in threads, ahead        calling thread      in threads           calling thread            in threads, behind

No result depends on how pairs are batched or on the number of threads.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass

import numpy as np

from stp.extraction.pairs import Batch, FlowSettings, pairs_at_once, plan_batches, read_batches
from stp.flow import tvl1
from stp.flow.opencv_engines import opencv_threads
from stp.video.clip import GreyClip
from stp.warped import HomographyEstimate, KeyPoints, WarpedFlow, WarpedFlowParameters, align, flow_to_aligned


@dataclass(frozen=True)
class FlowChunk:
    """Flow of consecutive pairs of a clip, pair `first` and those after it."""

    clip: GreyClip
    first: int
    last: bool  # these are the clip's last pairs
    flow: np.ndarray  # (n, 2, H, W) float32, pixels from a frame to the one `step` after it
    warped: WarpedFlow | None


@dataclass
class FlowSummary:
    """The work done in a run; `identities` counts the pairs whose camera motion is unknown: their flow was kept."""

    clips: int = 0
    pairs: int = 0
    identities: int = 0
    seconds: float = 0.0  # of wall time
    flow_seconds: float = 0.0  # of these inside TV-L1

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.clips} clips, {self.pairs} pairs, {self.pairs / seconds:.1f} pairs/s, "
            f"{100 * self.flow_seconds / seconds:.0f} % of the wall time inside TV-L1"
        )


class TimedFlow:
    """TV-L1 with given settings; `seconds` adds up the wall time spent inside."""

    def __init__(self, settings: FlowSettings, threads: int) -> None:
        self._settings, self._threads = settings, threads
        self.seconds = 0.0

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        flow = tvl1(previous, following, self._settings.backend, self._threads, self._settings.tvl1)
        self.seconds += time.perf_counter() - start
        return flow


@dataclass(frozen=True)
class Aligning:
    """A batch with its flow (N, 2, H, W), whose second frames are being aligned, into uint8 (N, H, W)."""

    batch: Batch
    flow: np.ndarray
    aligned: np.ndarray
    jobs: list[Future[HomographyEstimate]]


def start_aligning(
    batch: Batch, flow: np.ndarray, parameters: WarpedFlowParameters, pool: ThreadPoolExecutor
) -> Aligning:
    """Begin to warp each second frame to what the first one's camera would have seen.

    Waits for key points, which the pool detects from when the batch is read: they are done before its flow is.
    """
    aligned = np.empty_like(batch.following)

    def align_pair(number: int, old: KeyPoints, new: KeyPoints) -> HomographyEstimate:
        first, second = batch.pairs[number]
        alignment = align(first.grey, second.grey, flow[number], old, new, parameters, first.mask)
        aligned[number] = alignment.frame
        return alignment.estimate

    jobs = [
        pool.submit(align_pair, number, first.found_keypoints(), second.found_keypoints())
        for number, (first, second) in enumerate(batch.pairs)
    ]
    return Aligning(batch, flow, aligned, jobs)


def warped_flow_of(work: Aligning, kernel: TimedFlow) -> WarpedFlow:
    """Flow to the aligned frames, when all of them are."""
    estimates = [job.result() for job in work.jobs]
    return flow_to_aligned(work.batch.previous, work.aligned, work.flow, estimates, kernel)


def divide(batch: Batch, flow: np.ndarray, warped: WarpedFlow | None, step: int) -> Iterator[FlowChunk]:
    """A batch's flow clip by clip."""
    start = 0
    for span in batch.spans:
        own = slice(start, start + span.count)
        start += span.count
        part = None
        if warped:
            part = WarpedFlow(warped.flow[own], warped.homographies[own], warped.inliers[own], warped.identity[own])
        yield FlowChunk(span.clip, span.first, span.first + span.count == span.clip.pairs(step), flow[own], part)


def flow_chunks(
    clips: Iterable[GreyClip], settings: FlowSettings, threads: int, kernel: TimedFlow, pool: ThreadPoolExecutor
) -> Generator[FlowChunk, None, None]:
    """Flow of all pairs of the clips in order, and their warped flow if the settings ask for it.

    Args:
        clips: taken one by one as their turn to be read approaches; those without a pair are skipped.
        settings: what is computed.
        threads: CPU threads of TV-L1.
        kernel: TV-L1, called in the calling thread only.
        pool: reads the frames, detects key points and aligns frames, all of it while TV-L1 runs.

    Raises:
        UserError: a clip has fewer frames than it says, or an error in reading it.
    """
    aligning: Aligning | None = None
    with closing(read_batches(plan_batches(clips, settings, threads), settings, pool)) as batches:
        for batch in batches:
            flow = kernel(batch.previous, batch.following)
            if settings.detector is None:
                yield from divide(batch, flow, None, settings.step)
                continue
            before, aligning = aligning, start_aligning(batch, flow, settings.warped_flow, pool)
            if before:
                yield from divide(before.batch, before.flow, warped_flow_of(before, kernel), settings.step)
    if aligning:
        yield from divide(aligning.batch, aligning.flow, warped_flow_of(aligning, kernel), settings.step)


WriteChunk = Callable[[FlowChunk], None]
OpenClip = Callable[[GreyClip, ThreadPoolExecutor], AbstractContextManager[WriteChunk]]


class ClipSink:
    """Hands every chunk to the writer of its clip, which is opened for the first chunk and closed after the last.

    After an error, chunks that were already waiting are dropped: a writer that failed is used no more, and a file that
    lacks fields is not completed.
    """

    def __init__(self, open_clip: OpenClip, pool: ThreadPoolExecutor) -> None:
        self._open_clip, self._pool = open_clip, pool
        self._stack = ExitStack()
        self._write: WriteChunk | None = None
        self._failed = False

    def __call__(self, chunk: FlowChunk) -> None:
        if self._failed:
            return
        try:
            if self._write is None:
                self._write = self._stack.enter_context(self._open_clip(chunk.clip, self._pool))
            self._write(chunk)
            if chunk.last:
                self._write = None
                self._stack.close()
        except BaseException:
            self._failed = True
            raise

    def abandon(self, error: BaseException) -> None:
        """Close an unfinished clip's writer with the error that ended the run."""
        self._stack.__exit__(type(error), error, error.__traceback__)


@contextmanager
def worker_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads; jobs that have not begun when the block ends, by an error, are dropped."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def write_flow(
    clips: Iterable[GreyClip],
    settings: FlowSettings,
    threads: int,
    open_clip: OpenClip,
    progress: Callable[[int], object] = lambda pairs: None,
) -> FlowSummary:
    """Compute the flow of the clips, in order, and write it.

    Args:
        clips: as for `flow_chunks`.
        settings: what is computed.
        threads: CPU threads of TV-L1; as many others read, align and write meanwhile, which is little work beside it.
        open_clip: `open_clip(clip, pool)` is entered for a clip's first chunk and left after its last one, or with the
            error that ended the run; what it gives is called with each chunk, and may spread its work over the pool.
        progress: called with the number of pairs written since the last call.
    """
    start = time.perf_counter()
    kernel, summary = TimedFlow(settings, threads), FlowSummary()
    waiting: deque[tuple[FlowChunk, Future[None]]] = deque()

    def settle(most: int) -> None:
        """Count the chunks that are written; wait for the oldest while more than `most` pairs are not."""
        while waiting and (waiting[0][1].done() or sum(len(chunk.flow) for chunk, _ in waiting) > most):
            chunk, job = waiting.popleft()
            job.result()
            summary.clips += chunk.last
            summary.pairs += len(chunk.flow)
            summary.identities += int(chunk.warped.identity.sum()) if chunk.warped else 0
            progress(len(chunk.flow))

    with opencv_threads(1), worker_threads(threads) as pool:
        sink = ClipSink(open_clip, pool)
        try:
            with worker_threads(1) as writer:
                for chunk in flow_chunks(clips, settings, threads, kernel, pool):
                    waiting.append((chunk, writer.submit(sink, chunk)))
                    settle(2 * pairs_at_once(chunk.clip.height, chunk.clip.width, settings.backend, threads))
                settle(0)
        except BaseException as error:
            sink.abandon(error)
            raise
    summary.seconds, summary.flow_seconds = time.perf_counter() - start, kernel.seconds
    return summary
