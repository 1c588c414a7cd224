"""Extraction: the clips of one shard, from video files to stored RGB frames, flow and warped flow."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np

from stp.config import StorageFormat
from stp.data.boxes import read_boxes
from stp.data.index import Clip
from stp.data.shards import RAW, ClipFields, ShardWriter, least_bytes, read_extra, write_shard
from stp.errors import UserError
from stp.extraction.engine import WriteChunk, write_flow
from stp.extraction.pairs import FlowSettings
from stp.extraction.recipe import Recipe, frame_parameters, shard_parameters
from stp.extraction.reuse import SOURCE, Wanted, earlier, restore, source_of
from stp.extraction.writers import clip_in_shard, write_chunks
from stp.system.machine import check_room
from stp.system.progress import progress
from stp.video.clip import GreyClip, grey
from stp.video.decoding import UndecodableError, decode, examine_damaged_video, stored_size
from stp.video.identity import has_changed
from stp.video.rate import frames_at

log = logging.getLogger(__name__)

MORE_ROOM = "make room, choose a folder on another disk, or store fields as JPEG"


def extract_frames(
    clips: tuple[Clip, ...],
    output: Path,
    width: int,
    height: int,
    storage: StorageFormat = RAW,
    fps: float | None = None,
    modality: str = "rgb",
) -> None:
    """Decode clips into `output`: (T, 3, height, width) uint8 RGB each, `fps` of them a second or the video's own.

    `modality` is rgb, or first for an index of first-person videos.
    Person boxes of clips that have some are stored, too, in pixels of the stored frames: /boxes/CLIP_ID, float32 (m, 5)
    of frame, x0, y0, x1, y1. Clips that an earlier `output` already had are taken over (`stp.extraction.reuse`).

    Raises:
        UserError: a clip has no number of frames in the index, or another one than its video, or has no video; or the
            disk is too small.
    """
    parameters = frame_parameters(width, height, fps)
    wanted = Wanted(output, modality, parameters, storage, {clip.clip: clip.digest for clip in clips})
    with earlier(wanted) as before:
        if before.whole:
            restore(output)
            return
        # At another rate the number of frames is known only when a video is decoded.
        needed = 0 if fps else sum(least_bytes((clip.frames, 3, height, width), storage) for clip in clips)
        check_room(needed, output, f"{output}: frames of {len(clips)} clips", MORE_ROOM)
        with write_shard(output, modality, parameters, storage) as shard:
            for clip in progress(clips, desc="frames", unit="clip"):
                if not before.take_over(clip.clip, shard):
                    write_frames(clip, shard, width, height, fps)


def write_frames(clip: Clip, shard: ShardWriter, width: int, height: int, fps: float | None = None) -> None:
    """Decode a clip into an open shard, as `extract_frames` does."""
    if not clip.frames:
        raise UserError(f"{clip.path}: the index lacks its number of frames; make the index with stp index")
    if has_changed(clip):
        raise UserError(f"{clip.path}: the video or its boxes have changed since the index; make the index again")
    try:
        numbers = frames_at(examine_damaged_video(clip.path, clip.part).times, fps) if fps else range(clip.frames)
        shard.create(clip.clip, (len(numbers), 3, height, width))
        frames = stored = 0
        for frame in decode(clip.path, width, height, clip.part):
            while stored < len(numbers) and numbers[stored] == frames:
                shard.fill(clip.clip, stored, frame.transpose(2, 0, 1)[None])
                stored += 1
            frames += 1
        own_width, own_height = stored_size(clip.path) if clip.boxes else (width, height)
    except UndecodableError as error:
        raise UserError(f"{clip.path}: {error}; bring the video back, or make the index again") from None
    if frames != clip.frames:
        raise UserError(f"{clip.path}: {frames} frames, but the index says {clip.frames}; make the index again")
    if clip.boxes:
        boxes = read_boxes(clip.boxes, frames, width / own_width, height / own_height)
        shard.add(clip.clip, boxes=boxes_to_rows([boxes[number] for number in numbers]))
    if clip.digest:
        shard.add(clip.clip, source=source_of(clip.digest))


def boxes_to_rows(boxes: list[np.ndarray]) -> np.ndarray:
    """Boxes (n, 4) of every frame -> (m, 5) float32 with the frame's number before each box."""
    numbers = np.repeat(np.arange(len(boxes)), [len(some) for some in boxes])
    return np.column_stack([numbers, np.concatenate(boxes)]).astype(np.float32)


def rows_to_boxes(rows: np.ndarray, frames: int) -> list[np.ndarray]:
    """The inverse of `boxes_to_rows`."""
    return [rows[rows[:, 0] == t, 1:] for t in range(frames)]


def grey_clip(source: ClipFields, name: str, rows: np.ndarray | None) -> GreyClip:
    """A stored clip of frames with its boxes; a single frame is given twice, so that the clip has a pair."""
    length, _, height, width = source.shape(name)
    boxes = None if rows is None else rows_to_boxes(rows, length)
    if length == 1:
        return GreyClip(name, 2, height, width, lambda: grey(source[name][[0, 0]]), boxes and boxes * 2)
    return GreyClip(name, length, height, width, lambda: grey(source[name]), boxes)


def extract_flow(
    frames: Path,
    output: Path,
    warped_output: Path | None,
    settings: FlowSettings,
    bound: float,
    threads: int,
    storage: StorageFormat = RAW,
) -> None:
    """TV-L1 flow of every clip of an RGB shard, (T - 1, 2, H, W) uint8 each, and with `warped_output` its warped flow.

    A clip of a single frame gives one field of no motion. The warped shard also holds each pair's homography, the
    number of its inliers, and whether it fell back to the identity. Clips that earlier outputs already had of the same
    frames are taken over (`stp.extraction.reuse`).

    Args:
        frames: the shard of frames.
        output: the shard of flow, to write.
        warped_output: the shard of warped flow, to write; None computes none.
        settings: how flow is computed; the detector is set for warped flow, and only then.
        bound: +-pixels/frame that map to 0..255.
        threads: CPU threads of TV-L1.
        storage: how the fields are stored.

    Raises:
        UserError: the frames cannot be read, or the disk is too small.
    """
    source, boxes, made_from = ClipFields([frames]), read_extra(frames, "boxes"), read_extra(frames, SOURCE)
    digests = {name: made_from[name].tobytes().hex() if name in made_from else "" for name in source.clips()}
    outputs = {"of": output} | ({"wof": warped_output} if warped_output else {})
    wanted = {
        modality: Wanted(
            path, modality, shard_parameters(settings, bound, modality, source.parameters), storage, digests
        )
        for modality, path in outputs.items()
    }
    with ExitStack() as stack:
        before = {modality: stack.enter_context(earlier(each)) for modality, each in wanted.items()}
        if all(each.whole for each in before.values()):
            for path in outputs.values():
                restore(path)
            return
        clips = [grey_clip(source, name, boxes.get(name)) for name in source.clips()]
        needed = sum(least_bytes((clip.pairs(settings.step), 2, clip.height, clip.width), storage) for clip in clips)
        check_room(len(outputs) * needed, output, f"{output}: flow of {len(clips)} clips", MORE_ROOM)
        shards = {
            modality: stack.enter_context(write_shard(each.path, modality, each.parameters, storage))
            for modality, each in wanted.items()
        }
        same = frozenset.intersection(*(each.clips for each in before.values()))
        for modality, each in before.items():
            for name in same:
                each.take_over(name, shards[modality])
        clips = [clip for clip in clips if clip.name not in same]

        def open_clip(clip: GreyClip, pool: ThreadPoolExecutor) -> AbstractContextManager[WriteChunk]:
            pairs = clip.pairs(settings.step)
            return write_chunks(
                {name: clip_in_shard(shard, clip, pairs, bound, pool) for name, shard in shards.items()}
            )

        with progress(total=sum(clip.pairs(settings.step) for clip in clips), desc="flow", unit="pair") as bar:
            summary = write_flow(clips, settings, threads, open_clip, bar.update)
        for shard in shards.values():
            for clip in clips:
                if clip.name in made_from:
                    shard.add(clip.name, source=made_from[clip.name])
    log.info("%s", summary)
    if warped_output:
        log.info(
            "warped flow: %d of %d pairs had too few matches and kept the identity", summary.identities, summary.pairs
        )


def make_fields(recipe: Recipe, clip: Clip, folder: Path, threads: int) -> dict[str, ClipFields]:
    """The fields of a clip by modality, made in a folder by the code of `stp frames` and `stp extract`.

    Raises:
        UserError: the disk is too small, or an error of `extract_frames`.
    """
    frames = clip.frames
    if recipe.fps:
        frames = len(frames_at(examine_damaged_video(clip.path, clip.part).times, recipe.fps))
    purpose = f"{clip.path}: frames and flow"
    check_room(recipe.bytes_needed(frames), folder, purpose, "name another folder by the environment variable TMPDIR")
    files = {modality: folder / f"{modality}.h5" for modality in ("rgb", "of", "wof")}
    extract_frames((clip,), files["rgb"], recipe.width, recipe.height, recipe.frame_storage, recipe.fps)
    if recipe.flow:
        assert recipe.bound is not None
        warped = files["wof"] if recipe.flow.detector else None
        extract_flow(files["rgb"], files["of"], warped, recipe.flow, recipe.bound, threads, recipe.flow_storage)
    return {modality: ClipFields([path]) for modality, path in files.items() if path.exists()}
