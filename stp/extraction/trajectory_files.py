"""Improved trajectories of any videos and folders of frames, in files as the pipeline's features are."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from stp.data.shards import ClipFields, ShardWriter, read_extra, write_shard
from stp.errors import UserError
from stp.extraction.engine import TimedFlow, flow_chunks, worker_threads
from stp.extraction.pairs import FlowSettings
from stp.flow.opencv_engines import opencv_threads
from stp.system.progress import progress
from stp.trajectories import (
    COLUMNS,
    LENGTH,
    FarnebackFlow,
    FlowOfPair,
    TrajectoryParameters,
    given_flow,
    layer_sizes,
    trajectories,
)
from stp.trajectories.overlay import write_overlay
from stp.video.clip import GreyClip
from stp.video.decoding import VideoFacts
from stp.video.sources import Source, examine_all, grey_clip, rgb_frames

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrajectorySettings:
    """How trajectories are made; `flow` is TV-L1 with a detector, or None for Farneback's flow."""

    parameters: TrajectoryParameters
    flow: FlowSettings | None
    detector: str  # of key points, for Farneback's flow without the camera's motion
    size: tuple[int, int] | None  # width and height of the frames; None: each source's own
    fps: float | None  # frames per second; None: each source's own

    def stored(self, sources: Sequence[Source]) -> dict[str, Any]:
        """The settings as a file of trajectories of these sources holds them."""
        fields: dict[str, Any] = {"flow": "farneback", "detector": self.detector, "fps": self.fps or "native"}
        fields["size"] = list(self.size) if self.size else "own"
        if self.flow:
            fields |= {"flow": "tvl1", "backend": self.flow.backend, "tvl1": asdict(self.flow.tvl1)}
        paths = {source.name: str(source.path.resolve()) for source in sources}
        return {"features": "idt", "options": asdict(self.parameters), "fields": fields, "sources": paths}


class Spool:
    """Rows that are appended one after another, kept in a file that has no name and needs no memory."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: type) -> None:
        self._file, self._shape, self._dtype = file, shape, np.dtype(dtype)
        self._rows = 0

    def append(self, rows: np.ndarray) -> None:
        """Add rows, (n, *shape)."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._rows += len(rows)

    def array(self) -> np.ndarray:
        """All rows, mapped."""
        shape = (self._rows, *self._shape)
        self._file.flush()
        return np.memmap(self._file, self._dtype, "r", shape=shape) if self._rows else np.empty(shape, self._dtype)


@contextmanager
def flow_source(clip: GreyClip, settings: TrajectorySettings, threads: int) -> Iterator[FlowOfPair]:
    """The flows of a clip; TV-L1 is computed ahead of its use."""
    if settings.flow is None:
        yield FarnebackFlow(settings.detector)
        return
    kernel = TimedFlow(settings.flow, threads)
    with worker_threads(threads) as pool, closing(flow_chunks([clip], settings.flow, threads, kernel, pool)) as chunks:
        yield given_flow(
            pair for chunk in chunks if chunk.warped for pair in zip(chunk.flow, chunk.warped.flow, strict=True)
        )


def write_clip(
    shard: ShardWriter,
    clip: GreyClip,
    settings: TrajectorySettings,
    threads: int,
    folder: Path,
    step: Callable[[int], object],
) -> int:
    """Write the trajectories of a clip, with their points and last frames; returns their number.

    `folder` is where they are kept until all are known; `step` is called with the number of frames done.
    """
    with ExitStack() as stack:
        rows, points, last_frames = (
            Spool(stack.enter_context(TemporaryFile(dir=folder)), shape, dtype)
            for shape, dtype in (((COLUMNS,), np.float32), ((LENGTH + 1, 2), np.float32), ((), np.int64))
        )
        flow = stack.enter_context(flow_source(clip, settings, threads))
        step(1)  # the first frame, which ends no pair
        for found in trajectories(clip.read(), clip.frames, flow, settings.parameters, threads):
            rows.append(found.rows(clip.frames))
            points.append(found.points)
            last_frames.append(found.last_frames)
            step(1)
        shard.store(clip.name, rows.array())
        shard.add(clip.name, points=points.array(), last_frames=last_frames.array())
        return len(rows.array())


def file_of(source: Source, output: Path) -> Path:
    """The file that has a source's trajectories: `output` if it ends in .h5, else one in that folder."""
    return output if output.suffix == ".h5" else output / f"{source.name}.h5"


def missing(sources: Sequence[Source], output: Path, settings: TrajectorySettings) -> list[Source]:
    """The sources whose files are still to be written.

    Raises:
        UserError: a file exists that is not exactly what would be written, or `output` is of the wrong kind.
    """
    if output.suffix == ".h5" and output.exists():
        raise UserError(f"--output: '{output}' exists; move it away or choose another name")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output: '{output}' is a file; name a folder, or a new file that ends in .h5")
    absent = []
    for source in sources:
        path = file_of(source, output)
        if not path.exists():
            absent.append(source)
        elif ClipFields([path]).parameters != settings.stored([source]):
            raise UserError(f"'{path}' was made with other options or of another video; choose another folder")
    if len(absent) < len(sources):
        log.info("%d of %d videos are complete and skipped", len(sources) - len(absent), len(sources))
    return absent


def usable_clips(
    sources: Sequence[Source], settings: TrajectorySettings, threads: int
) -> tuple[dict[Source, tuple[VideoFacts, GreyClip]], list[str]]:
    """Facts and clip of each source that can be read and holds a patch; path and reason for each of the others."""
    readable, bad = examine_all(sources, threads)
    good = {}
    for source, facts in readable:
        clip = grey_clip(source, facts, settings.size, settings.fps)
        try:
            layer_sizes(clip.height, clip.width, settings.parameters)
            good[source] = facts, clip
        except ValueError as error:
            bad.append(f"{source.path}: {error}; give a smaller --patch or a larger --size")
    return good, bad


def make_trajectories(
    sources: Sequence[Source], output: Path, settings: TrajectorySettings, threads: int, overlay: Path | None = None
) -> None:
    """Compute the trajectories of sources and write them; files in a folder that are complete stay as they are.

    Args:
        sources: videos and folders of frames.
        output: a new file `.h5` for all of them, or a folder for a file of each.
        settings: how trajectories are made.
        threads: processor threads; results do not depend on them.
        overlay: a video to write: that of the one source, with its trajectories drawn on it.

    Raises:
        UserError: an error of `missing`; or, at the end, the number of sources that cannot be used.
    """
    absent = missing(sources, output, settings)
    usable, bad = usable_clips(sources if overlay else absent, settings, threads)
    for reason in bad:
        log.warning("skipped %s", reason)
    files: dict[Path, list[Source]] = {}
    for source in absent:
        if source in usable:
            files.setdefault(file_of(source, output), []).append(source)
    frames = sum(usable[source][1].frames for own in files.values() for source in own)
    with opencv_threads(1), progress(total=frames, desc="trajectories", unit="frame") as bar:
        for path, own in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_shard(path, "idt", settings.stored(own)) as shard:
                for source in own:
                    clip = usable[source][1]
                    count = write_clip(shard, clip, settings, threads, path.parent, bar.update)
                    log.info("%s: %d trajectories in %d frames", source.path, count, clip.frames)
    if overlay and usable:
        ((source, (facts, clip)),) = usable.items()
        points, last_frames = (
            read_extra(file_of(source, output), name)[source.name] for name in ("points", "last_frames")
        )
        images = rgb_frames(source, facts, settings.size, settings.fps)
        write_overlay(overlay, images, clip.frames, clip.rate, points, last_frames)
    if bad:
        raise UserError(f"{len(bad)} of {len(sources)} videos cannot be used and were skipped; the reasons are above")
