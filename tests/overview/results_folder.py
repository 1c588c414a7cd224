"""A small results folder: two folds, two streams, two variants, whose scores are known, with videos and frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stp.data.index import Clip, write_index
from stp.data.run_name import RunName
from stp.data.shards import write_shard
from stp.evaluation.scores import Scores, write_scores
from stp.training.log import write_log
from stp.video.writing import video_writer

RUNS = [RunName(s, v, fold) for s in ("rgb", "of") for v in ("baseline", "3-level") for fold in (1, 2)]
EACH = 4  # clips of a class; every second one is tested by fold 1
RIGHT = {("rgb", "baseline"): 1, ("rgb", "3-level"): 2, ("of", "baseline"): 2, ("of", "3-level"): 3}  # of a class's 4


def clip_ids(classes: Sequence[str]) -> list[str]:
    """Four clips of each class, named by its number: class names are not always names of folders."""
    return [f"{number}/{take}" for number in range(len(classes)) for take in range(EACH)]


def write_run(folder: Path, name: RunName, classes: Sequence[str]) -> None:
    """A run that recognises, of each class, as many clips as RIGHT says, and takes the others for the next class."""
    ids = clip_ids(classes)
    tested = [place for place in range(len(ids)) if place % 2 == name.fold - 1]
    labels = np.array([place // EACH for place in tested])
    right = np.array([place % EACH < RIGHT[name.input, name.method] for place in tested])
    predicted = np.where(right, labels, (labels + 1) % len(classes))
    values = np.zeros((len(tested), 1, len(classes)), np.float32)
    values[np.arange(len(tested)), 0, predicted] = 2 + np.linspace(0, 1, len(tested))
    scores = Scores(name, tuple(classes), tuple(ids[place] for place in tested), labels, values)
    write_scores(folder / str(name) / "scores.h5", scores, {})
    rows = [[str(e), f"{2 / e:.5f}", f"{0.2 * e:.4f}", "0.01", "1.00", "9.0", f"{0.2 * e:.4f}", "0"] for e in (1, 2, 3)]
    write_log(folder / str(name) / "log.csv", rows)


def write_clip_video(path: Path, shade: int, rate: float = 25, frames: int = 8) -> None:
    """A square that moves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_writer(path, 64, 48, rate, frames) as video:
        for t in range(frames):
            frame = np.full((48, 64, 3), shade, np.uint8)
            frame[10:20, 5 * t : 5 * t + 10] = 255
            video.write(frame)


def make_results(folder: Path, classes: Sequence[str], left_out: Sequence[str] = ()) -> Path:
    """RESULTS with scores, logs, index and frames; the first clip's video lies in it, all others nowhere.

    `left_out` names runs that have not been scored.
    """
    results = folder / "results"
    for name in RUNS:
        if str(name) not in left_out:
            write_run(results / "runs", name, classes)
    ids = clip_ids(classes)
    paths = [results / f"videos/{clip} #1.mp4" if clip == "0/3" else folder / f"absent/{clip}.avi" for clip in ids]
    labels = [classes[place // EACH] for place in range(len(ids))]
    index = [Clip(clip, str(path), label) for clip, path, label in zip(ids, paths, labels, strict=True)]
    write_index(results / "index.csv", index)
    write_clip_video(results / "videos/0/3 #1.mp4", 90)
    with write_shard(results / "clips/rgb/0.h5", "rgb", {"width": 64, "height": 48}) as shard:
        for number, clip in enumerate(ids):
            shard.write(clip, np.full((8, 3, 48, 64), 20 + number, np.uint8))
    return results
