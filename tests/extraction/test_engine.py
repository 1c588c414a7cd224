"""Flow of clips in batches: every pair once and in order, the same whatever the batches; errors reach the caller."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stp.errors import UserError
from stp.extraction import engine as clip_flow
from stp.extraction import pairs as clip_batches
from stp.extraction.engine import (
    ClipSink,
    FlowChunk,
    FlowSummary,
    TimedFlow,
    WriteChunk,
    flow_chunks,
    worker_threads,
    write_flow,
)
from stp.extraction.pairs import FlowSettings, pairs_at_once, plan_batches
from stp.flow import tvl1
from stp.video.clip import GreyClip
from stp.warped import align, detect_keypoints
from tests.warped.plain import warped_flow

HEIGHT, WIDTH = 64, 80


def panned(frames: int, seed: int = 0) -> np.ndarray:
    """A texture under a moving camera, uint8 (frames, HEIGHT, WIDTH)."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT + 4 * frames, WIDTH + 4 * frames)).astype(np.uint8)
    canvas = cv2.equalizeHist(cv2.GaussianBlur(noise, (0, 0), 1.5))
    return np.stack([canvas[t : t + HEIGHT, 2 * t : 2 * t + WIDTH] for t in range(frames)])


def clip(name: str, frames: np.ndarray) -> GreyClip:
    return GreyClip(name, len(frames), frames.shape[1], frames.shape[2], lambda: iter(frames))


class Collected:
    """Writers that keep what they are given, and in which order clips were opened and closed."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[FlowChunk]] = {}
        self.events: list[str] = []

    @contextmanager
    def open_clip(self, clip: GreyClip, pool: ThreadPoolExecutor) -> Iterator[WriteChunk]:
        self.events.append(f"open {clip.name}")
        self.chunks[clip.name] = []
        try:
            yield self.chunks[clip.name].append
        except BaseException:
            self.events.append(f"abandon {clip.name}")
            raise
        self.events.append(f"close {clip.name}")

    def flow(self, name: str) -> np.ndarray:
        return np.concatenate([chunk.flow for chunk in self.chunks[name]])

    def warped(self, name: str) -> tuple[np.ndarray, ...]:
        warps = [chunk.warped for chunk in self.chunks[name] if chunk.warped]
        names = ("flow", "homographies", "inliers", "identity")
        return tuple(np.concatenate([getattr(warp, key) for warp in warps]) for key in names)


def compute(clips: list[GreyClip], settings: FlowSettings, threads: int = 1) -> tuple[Collected, FlowSummary]:
    collected = Collected()
    return collected, write_flow(clips, settings, threads, collected.open_clip)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([(8, 9), (9, 8)])), max_size=12),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_batches_hold_every_pair_once_in_order_and_one_size(
    shapes: list[tuple[int, tuple[int, int]]], step: int, threads: int
) -> None:
    clips = [GreyClip(str(n), frames, *size, lambda: iter(())) for n, (frames, size) in enumerate(shapes)]
    settings = FlowSettings(step=step)
    batches = list(plan_batches(clips, settings, threads))
    planned = [
        (span.clip.name, t) for batch in batches for span in batch for t in range(span.first, span.first + span.count)
    ]
    assert planned == [(clip.name, t) for clip in clips for t in range(clip.frames - step)]
    limit = pairs_at_once(8, 9, "numba", threads)
    sizes = [{(span.clip.height, span.clip.width) for span in batch} for batch in batches]
    assert all(len(size) == 1 for size in sizes)
    filled = [sum(span.count for span in batch) for batch in batches]
    assert all(0 < count <= limit for count in filled)
    for n in range(len(batches) - 1):
        assert filled[n] == limit or sizes[n] != sizes[n + 1]


def test_batches_of_gpus_are_larger_and_those_of_large_frames_smaller() -> None:
    assert pairs_at_once(256, 340, "numba", 2) == 2 * clip_batches.PAIRS_OF_A_THREAD
    assert pairs_at_once(256, 340, "triton", 2) == clip_batches.PAIRS_AT_ONCE
    assert pairs_at_once(2160, 3840, "triton", 2) == 4
    assert pairs_at_once(10**5, 10**5, "numba", 2) == 1


def test_flow_and_warped_flow_are_those_of_whole_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = {"long": panned(11), "still": np.full((4, HEIGHT, WIDTH), 7, np.uint8), "short": panned(2, seed=1)}
    for pairs, threads in ((128, 1), (3, 1), (4, 3)):
        monkeypatch.setattr(clip_batches, "PAIRS_AT_ONCE", pairs)
        collected, summary = compute([clip(*item) for item in frames.items()], FlowSettings(detector="orb"), threads)
        assert collected.events == [f"{what} {name}" for name in frames for what in ("open", "close")]
        assert (summary.clips, summary.pairs, summary.identities) == (3, 14, 3)
        assert 0 < summary.flow_seconds < summary.seconds
        for name, images in frames.items():
            flow = tvl1(images[:-1], images[1:])
            assert np.array_equal(collected.flow(name), flow)
            whole = warped_flow(images, flow)
            expected = (whole.flow, whole.homographies, whole.inliers, whole.identity)
            for a, b in zip(collected.warped(name), expected, strict=True):
                assert a.dtype == b.dtype
                assert np.array_equal(a, b)
        assert not collected.warped("long")[3].any()  # the camera's motion was found: the comparison means something


def test_steps_skip_frames_in_flow_and_in_warped_flow() -> None:
    frames = panned(7)
    collected, _ = compute([clip("a", frames), clip("too short", frames[:3])], FlowSettings(detector="orb", step=3))
    assert collected.events == ["open a", "close a"]
    flow = tvl1(frames[:-3], frames[3:])
    assert np.array_equal(collected.flow("a"), flow)
    keypoints = detect_keypoints(frames[1]), detect_keypoints(frames[4])
    aligned = align(frames[1], frames[4], flow[1], *keypoints)
    assert np.array_equal(collected.warped("a")[1][1], aligned.estimate.matrix)
    assert np.array_equal(collected.warped("a")[0][1], tvl1(frames[1:2], aligned.frame[None])[0])


def test_clips_of_different_sizes_follow_one_another() -> None:
    frames = {"a": panned(3), "b": panned(4)[:, :40], "c": panned(2)}
    collected, summary = compute([clip(*item) for item in frames.items()], FlowSettings())
    assert summary.pairs == 6
    for name, images in frames.items():
        assert np.array_equal(collected.flow(name), tvl1(images[:-1], images[1:]))


def test_key_points_are_detected_once_a_frame_outside_the_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_batches, "PAIRS_AT_ONCE", 2)
    seen: list[tuple[bytes, np.ndarray]] = []
    lock = threading.Lock()

    def counting(frame: np.ndarray, detector: str, mask: np.ndarray, parameters: object) -> object:
        with lock:
            seen.append((frame.tobytes(), mask))
        return detect_keypoints(frame, detector, mask)

    monkeypatch.setattr(clip_batches, "detect_keypoints", counting)
    frames = panned(7)
    boxes = [np.array([[0, 0, 10 + t, 20]], np.float32) for t in range(7)]
    source = GreyClip("a", 7, HEIGHT, WIDTH, lambda: iter(frames), boxes)
    collected, _ = compute([source], FlowSettings(detector="orb"), threads=2)
    assert sorted(key for key, _ in seen) == sorted(frame.tobytes() for frame in frames)
    masked = {key: int((mask == 0).sum()) for key, mask in seen}
    assert [masked[frame.tobytes()] for frame in frames] == [20 * (10 + t) for t in range(7)]
    monkeypatch.undo()
    whole = warped_flow(frames, collected.flow("a"), boxes=boxes)
    assert np.array_equal(collected.warped("a")[0], whole.flow)


def test_long_clips_are_not_read_far_ahead() -> None:
    read = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(100_000):
            read += 1
            yield np.zeros((16, 16), np.uint8)

    settings = FlowSettings()
    endless = GreyClip("endless", 100_000, 16, 16, frames)
    with worker_threads(2) as pool:
        chunks = flow_chunks([endless], settings, 2, TimedFlow(settings, 2), pool)
        for _ in range(3):
            next(chunks)
        chunks.close()
    assert read <= (3 + clip_batches.BATCHES_AHEAD + 1) * pairs_at_once(16, 16, "numba", 2) + 1


def test_an_early_end_leaves_no_thread() -> None:
    settings, before = FlowSettings(detector="orb"), threading.active_count()
    with worker_threads(1) as pool:
        chunks = flow_chunks([clip("a", panned(60))], settings, 1, TimedFlow(settings, 1), pool)
        next(chunks)
        chunks.close()
    assert threading.active_count() == before


def test_the_pool_may_begin_its_jobs_in_any_order() -> None:
    """No job waits for another one: with one thread that takes the latest job first, it would wait forever."""
    settings, clips = FlowSettings(detector="orb"), [clip(str(n), panned(10 + n, n)) for n in range(4)]
    expected, _ = compute(clips, settings)
    pool, found = ThreadPoolExecutor(1), list[FlowChunk]()
    pool._work_queue = queue.LifoQueue()  # type: ignore[assignment]
    user = threading.Thread(
        target=lambda: found.extend(flow_chunks(clips, settings, 1, TimedFlow(settings, 1), pool)), daemon=True
    )
    user.start()
    user.join(120)
    assert not user.is_alive()
    pool.shutdown()
    for name, chunks in expected.chunks.items():
        own = [chunk for chunk in found if chunk.clip.name == name]
        assert np.array_equal(np.concatenate([chunk.flow for chunk in own]), expected.flow(name))
        warped = [chunk.warped.flow for chunk in own if chunk.warped]
        assert np.array_equal(np.concatenate(warped), np.concatenate([c.warped.flow for c in chunks if c.warped]))


def test_what_reading_raises_reaches_the_caller() -> None:
    frames = panned(40)

    def broken() -> Iterator[np.ndarray]:
        yield from frames[:30]
        raise OSError("the disk is gone")

    collected = Collected()
    clips = [clip("good", frames), GreyClip("broken", 40, HEIGHT, WIDTH, broken), clip("later", frames)]
    with pytest.raises(OSError, match="the disk is gone"):
        write_flow(clips, FlowSettings(detector="orb"), 1, collected.open_clip)
    assert "close good" in collected.events
    assert "close broken" not in collected.events
    assert not any("later" in event for event in collected.events)


def test_clips_that_are_shorter_than_they_say_are_refused() -> None:
    frames = panned(5)
    with pytest.raises(UserError, match="short: ends after frame 5 of 9"):
        compute([GreyClip("short", 9, HEIGHT, WIDTH, lambda: iter(frames))], FlowSettings())
    with pytest.raises(ValueError, match="wrong: a frame is"):
        compute([GreyClip("wrong", 5, HEIGHT, WIDTH + 1, lambda: iter(frames))], FlowSettings())


def test_what_writing_raises_reaches_the_caller_and_the_clip_stays_open() -> None:
    collected = Collected()

    @contextmanager
    def open_clip(clip: GreyClip, pool: ThreadPoolExecutor) -> Iterator[WriteChunk]:
        with collected.open_clip(clip, pool):

            def write(chunk: FlowChunk) -> None:
                if chunk.clip.name == "b":
                    raise OSError("the disk is full")

            yield write

    with pytest.raises(OSError, match="the disk is full"):
        write_flow([clip(name, panned(20)) for name in "abc"], FlowSettings(), 1, open_clip)
    assert collected.events[:4] == ["open a", "close a", "open b", "abandon b"]


@pytest.mark.parametrize("failing", ["open", "write"])
def test_chunks_that_wait_when_writing_fails_are_dropped_and_complete_no_file(failing: str) -> None:
    collected, fields = Collected(), np.zeros((1, 2, HEIGHT, WIDTH), np.float32)
    first, last = (FlowChunk(clip("a", panned(3)), number, number == 1, fields, None) for number in range(2))
    errors = [OSError("the disk is full")]  # once: then there is room

    @contextmanager
    def open_clip(clip: GreyClip, pool: ThreadPoolExecutor) -> Iterator[WriteChunk]:
        def fail() -> None:
            if errors:
                raise errors.pop()

        if failing == "open":
            fail()
        with collected.open_clip(clip, pool) as append:

            def write(chunk: FlowChunk) -> None:
                fail()
                append(chunk)

            yield write

    with worker_threads(1) as pool:
        sink = ClipSink(open_clip, pool)
        with pytest.raises(OSError, match="the disk is full") as raised:
            sink(first)
        sink(last)
        sink.abandon(raised.value)
    assert not any(collected.chunks.values())
    assert collected.events == ([] if failing == "open" else ["open a", "abandon a"])


def test_an_interruption_abandons_the_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def interrupted(*arguments: object) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return tvl1(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(clip_flow, "tvl1", interrupted)
    collected = Collected()
    with pytest.raises(KeyboardInterrupt):
        write_flow([clip("a", panned(100))], FlowSettings(), 1, collected.open_clip)
    assert collected.events in (["open a", "abandon a"], [])
