"""Extraction: the clips of one shard, from video files to stored RGB frames, flow and warped flow."""

import logging
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stp.errors import UserError
from stp.flow import TVL1Parameters, quantise, resolve_backend, tvl1
from stp.frames import decode
from stp.index import Clip
from stp.storage import ClipFields, write_shard
from stp.warped import WarpedFlowParameters, warped_flow

log = logging.getLogger(__name__)

# Pairs that one call of TV-L1 gets, so that a long video's float fields stay small in memory.
PAIRS_AT_ONCE = 128


def extract_frames(clips: tuple[Clip, ...], output: Path, width: int, height: int) -> None:
    """Decode clips into `output`: (T, 3, height, width) uint8 RGB each."""
    with write_shard(output, "rgb", {"width": width, "height": height}) as shard:
        for clip in tqdm(clips, desc="frames", unit="clip"):
            frames = [frame.transpose(2, 0, 1) for frame in decode(clip.path, width, height)]
            if len(frames) != clip.frames:
                raise UserError(f"{clip.path}: {len(frames)} frames, but the index says {clip.frames}; index it anew")
            shard.write(clip.clip, np.stack(frames))


def grey(frames: np.ndarray) -> np.ndarray:
    """Luma of RGB frames: (T, 3, H, W) uint8 -> (T, H, W) uint8."""
    return np.stack(
        [cv2.cvtColor(np.ascontiguousarray(frame.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for frame in frames]
    )


def extract_flow(
    frames: Path, output: Path, warped_output: Path | None, backend: str, bound: float, detector: str, threads: int
) -> None:
    """TV-L1 flow of every clip of an RGB shard, (T - 1, 2, H, W) uint8 each, and with `warped_output` its warped flow.

    A clip of a single frame gives one still field. The warped shard also holds each pair's homography, the number of
    its inliers, and whether it fell back to the identity.
    """
    source = ClipFields([frames])
    parameters = {"backend": resolve_backend(backend), "bound": bound, "tvl1": asdict(TVL1Parameters())}
    with ExitStack() as stack:
        shard = stack.enter_context(write_shard(output, "of", parameters))
        warped_shard = None
        if warped_output:
            parameters |= {"detector": detector, "warped_flow": asdict(WarpedFlowParameters())}
            warped_shard = stack.enter_context(write_shard(warped_output, "wof", parameters))
        pairs = identities = 0
        for clip in tqdm(source.clips(), desc="flow", unit="clip"):
            images = grey(source[clip])
            if len(images) == 1:
                images = images.repeat(2, axis=0)
            flows, warps = [], []
            for first in range(0, len(images) - 1, PAIRS_AT_ONCE):
                chosen = images[first : first + PAIRS_AT_ONCE + 1]
                flow = tvl1(chosen[:-1], chosen[1:], backend, threads)
                flows.append(quantise(flow, bound))
                if warped_shard:
                    warps.append(warped_flow(chosen, flow, detector, backend, threads))
            shard.write(clip, np.concatenate(flows))
            if warped_shard:
                warped_shard.write(
                    clip,
                    np.concatenate([quantise(warp.flow, bound) for warp in warps]),
                    homographies=np.concatenate([warp.homographies for warp in warps]),
                    inliers=np.concatenate([warp.inliers for warp in warps]),
                    identity=np.concatenate([warp.identity for warp in warps]),
                )
                pairs += len(images) - 1
                identities += sum(int(warp.identity.sum()) for warp in warps)
    if warped_output:
        log.info("warped flow: %d of %d pairs had too few matches and kept the identity", identities, pairs)
