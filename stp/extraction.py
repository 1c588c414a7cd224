"""Extraction: the clips of one shard, from video files to stored RGB frames, flow and warped flow."""

import logging
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stp.errors import UserError
from stp.flow import dequantise, quantise, resolve_backend, tvl1
from stp.flow.parameters import TVL1Parameters
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
        for clip in tqdm(clips, desc="frames", unit="clip", disable=None):
            frames = [frame.transpose(2, 0, 1) for frame in decode(clip.path, width, height)]
            if len(frames) != clip.frames:
                raise UserError(f"{clip.path}: {len(frames)} frames, but the index says {clip.frames}; index it anew")
            shard.write(clip.clip, np.stack(frames))


def grey(frames: np.ndarray) -> np.ndarray:
    """Luma of RGB frames: (T, 3, H, W) uint8 -> (T, H, W) uint8."""
    return np.stack(
        [cv2.cvtColor(np.ascontiguousarray(frame.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for frame in frames]
    )


def extract_flow(frames: Path, output: Path, backend: str, bound: float, threads: int) -> None:
    """TV-L1 flow of every clip of an RGB shard: (T - 1, 2, H, W) uint8 each; a single frame gives one still field."""
    backend = resolve_backend(backend)
    source = ClipFields([frames])
    parameters = {"backend": backend, "bound": bound, "tvl1": asdict(TVL1Parameters())}
    with write_shard(output, "of", parameters) as shard:
        for clip in tqdm(source.clips(), desc="flow", unit="clip", disable=None):
            images = grey(source[clip])
            fields = [np.full((1, 2, *images.shape[1:]), 128, np.uint8)] if len(images) == 1 else []
            for first in range(0, len(images) - 1, PAIRS_AT_ONCE):
                chosen = images[first : first + PAIRS_AT_ONCE + 1]
                fields.append(quantise(tvl1(chosen[:-1], chosen[1:], backend=backend, threads=threads), bound))
            shard.write(clip, np.concatenate(fields))


def extract_warped_flow(frames: Path, flow: Path, output: Path, backend: str, detector: str, threads: int) -> None:
    """Warped flow of every clip, quantised as `flow` is, with homographies, inliers and fall-backs of each pair."""
    backend = resolve_backend(backend)
    source, flows = ClipFields([frames]), ClipFields([flow])
    bound = float(flows.parameters["bound"])
    parameters = {"backend": backend, "bound": bound, "detector": detector, "tvl1": asdict(TVL1Parameters())}
    parameters["warped_flow"] = asdict(WarpedFlowParameters())
    pairs = identities = 0
    with write_shard(output, "wof", parameters) as shard:
        for clip in tqdm(source.clips(), desc="warped flow", unit="clip", disable=None):
            images = grey(source[clip])
            if len(images) == 1:
                shard.write(clip, flows[clip])
                continue
            result = warped_flow(
                images, dequantise(flows[clip], bound), detector=detector, backend=backend, threads=threads
            )
            shard.write(
                clip,
                quantise(result.flow, bound),
                homographies=result.homographies,
                inliers=result.inliers,
                identity=result.identity,
            )
            pairs += len(result.identity)
            identities += int(result.identity.sum())
    log.info("%d of %d pairs had too few matches for a homography and kept the identity", identities, pairs)
