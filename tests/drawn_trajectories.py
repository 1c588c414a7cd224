"""Stored trajectories for tests, drawn at random; clips of a class share something in their descriptors."""

from pathlib import Path

import numpy as np

from stp.data.index import Clip
from stp.data.shards import ClipFields, write_shard
from stp.encoding.descriptors import COLUMNS, TYPES


def trajectories(rng: np.random.Generator, number: int, label: int, when: float | None = None) -> np.ndarray:
    """Trajectories float16 (n, 430) of a clip.

    A third of them have larger numbers at a place of each descriptor that belongs to the class `label`: those around
    the time `when`, or if it is None any.
    """
    stored = rng.random((number, COLUMNS)).astype(np.float16)
    marked = rng.random(number) < 1 / 3 if when is None else abs(stored[:, 0] - when) < 1 / 6
    for columns in TYPES.values():
        stored[marked, columns.start + 3 * label : columns.start + 3 * label + 3] += 2
    return stored


def stored_clips(path: Path, clips: list[Clip], classes: tuple[str, ...], number: int = 60) -> ClipFields:
    """A shard of `number` trajectories a clip."""
    rng = np.random.default_rng(0)
    with write_shard(path, "idt", {}) as shard:
        for clip in clips:
            shard.store(clip.clip, trajectories(rng, number, classes.index(clip.label)))
    return ClipFields([path])
