"""Prediction: class probabilities of any videos, as a whole or in windows over time, from trained runs.

A video is processed like the clips of the data set: the same code decodes it, computes its flow and scores it, with the
parameters that the runs were trained with. A clip of the data set gets the same scores as from `stp score`.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from stp.data.index import Clip
from stp.datasets.folder import BOXES_SUFFIX
from stp.errors import UserError
from stp.extraction.stages import make_fields
from stp.predict.ensemble import Ensemble, ensemble_scores
from stp.predict.windows import Window, windows
from stp.system.logs import only_warnings
from stp.video.checking import BadVideo
from stp.video.decoding import UndecodableError, VideoFacts, even_times, examine_video
from stp.video.rate import frames_at
from stp.video.sources import DEFAULT_RATE, sources_below

log = logging.getLogger(__name__)

CLIP = "video"  # id of the only clip in the files of the video's fields


@dataclass(frozen=True)
class VideoPrediction:
    """Class probabilities of a video's windows, float64 (windows, classes); a whole video is a single window."""

    path: Path
    facts: VideoFacts
    frame_times: tuple[float, ...]  # of the frames that the windows count, and of the end, in seconds
    windows: tuple[Window, ...]
    probabilities: np.ndarray
    elapsed: float  # seconds that the prediction took

    @property
    def seconds(self) -> float:
        """Duration of the video in seconds."""
        return self.frame_times[-1]

    def times(self, window: Window) -> tuple[float, float]:
        """Start and end of a window in seconds."""
        return self.frame_times[window.first], self.frame_times[window.first + window.frames]


def find_videos(paths: Sequence[Path]) -> tuple[list[Path], list[BadVideo]]:
    """The files that are named and the videos below the folders that are named, in order, and what holds no video.

    Folders of images are named: only video files are taken.
    """
    videos: list[Path] = []
    bad: list[BadVideo] = []
    for path in paths:
        found = list(sources_below(path)) if path.is_dir() else []
        for images in (source.path for source in found if source.images):
            log.warning("%s: images are no video; make one of them to have it predicted", images)
        below = [source.path for source in found if not source.images]
        if path.is_dir() and not below:
            bad.append(_bad(path, "the folder holds no videos"))
        videos += below if path.is_dir() else [path]
    return videos, bad


def _bad(path: Path, reason: str) -> BadVideo:
    return BadVideo(Clip(CLIP, str(path), ""), reason)


def video_clip(path: Path) -> tuple[Clip, VideoFacts]:
    """A video that is in no index as a clip, with the boxes beside it if there are some, and its facts.

    Raises:
        UndecodableError: the video cannot be decoded to its end.
    """
    facts = examine_video(str(path))
    boxes = path.with_name(f"{path.stem}{BOXES_SUFFIX}")
    return Clip(CLIP, str(path), "", frames=facts.frames, boxes=str(boxes) if boxes.exists() else ""), facts


def predict_video(
    ensemble: Ensemble,
    path: Path,
    device: torch.device,
    window: float | None = None,
    stride: float | None = None,
    threads: int = 1,
) -> VideoPrediction:
    """Predict a video as a whole, or in windows of `window` seconds, one every `stride` seconds (half a window).

    If `VIDEO.boxes.csv` lies beside the video, its boxes keep people out of the estimate of the camera's motion, as in
    extraction. Frames and flow are kept in a temporary folder during the prediction.

    Raises:
        UndecodableError: the video cannot be decoded to its end.
        UserError: as `make_fields` raises.
    """
    began = time.perf_counter()
    clip, facts = video_clip(path)
    if facts.rate <= 0:
        facts = replace(facts, rate=DEFAULT_RATE, times=even_times(facts.frames, DEFAULT_RATE))
        log.warning("%s does not state its frame rate; %g frames/s is assumed", path, DEFAULT_RATE)
    times, fps = facts.times, ensemble.recipe.fps
    if fps:
        times = even_times(len(frames_at(times, fps)), fps)
    frames = len(times) - 1
    chosen = windows(times, window, stride or window / 2) if window else [Window(0, frames)]
    # These modules report on whole shards, which is noise for a single video.
    with TemporaryDirectory(prefix="stp-") as folder, only_warnings("stp.extraction.stages", "stp.sampling.loading"):
        fields = make_fields(ensemble.recipe, clip, Path(folder), threads)
        scores = ensemble_scores(ensemble, fields, CLIP, chosen, frames, device)
    elapsed = time.perf_counter() - began
    return VideoPrediction(path, facts, times, tuple(chosen), ensemble.probabilities(scores), elapsed)


def predict_videos(
    ensemble: Ensemble,
    paths: Sequence[Path],
    device: torch.device,
    window: float | None = None,
    stride: float | None = None,
    threads: int = 1,
) -> tuple[list[VideoPrediction], list[BadVideo]]:
    """Predict videos one by one, as `predict_video` does; those that cannot be used are reported and skipped."""
    good: list[VideoPrediction] = []
    bad: list[BadVideo] = []
    for path in paths:
        try:
            prediction = predict_video(ensemble, path, device, window, stride, threads)
        except (UndecodableError, UserError) as error:
            bad.append(_bad(path, str(error).removeprefix(f"{path}: ")))
            log.warning("skipped %s", bad[-1])
            continue
        good.append(prediction)
        log.info("%s: %.1f s of video in %.1f s", path, prediction.seconds, prediction.elapsed)
    return good, bad
