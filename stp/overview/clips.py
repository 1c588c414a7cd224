"""The clips that a page shows: which of them each input and variant takes for what, and their videos."""

import base64
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import numpy as np

from stp.config import FusionSpace, Overview
from stp.data.index import Clip
from stp.data.shards import ClipFields
from stp.evaluation.fused import Predictions
from stp.evaluation.prediction_table import probabilities
from stp.extraction.recipe import stored_rate
from stp.video.decoding import UndecodableError, read_header, resize
from stp.video.writing import choose_encoder, video_writer

PLAYED = (("h264", "yuv420p"), ("h264", "yuvj420p"), ("vp8", "yuv420p"), ("vp9", "yuv420p"), ("av1", "yuv420p"))
PLAYED_IN = (".mp4", ".m4v", ".webm", ".mov")
SIDE = 192  # pixels, the longer one of a preview
FRAMES = 96  # of a preview, at most: of longer clips every second one, third one, ...
RATE = 25.0  # frames per second of a preview, where the clip's is not known
CRF = "30"  # of previews, which are small


@dataclass(frozen=True)
class Tests:
    """Every test of a clip, in the order of folds: those of the networks of one seed.

    clips, labels, folds   of each test: the clip's id, its class's number, and the fold that tests it
    predicted, sure        by cell, int and float (tests,): number of the predicted class, its probability
    """

    clips: tuple[str, ...]
    labels: np.ndarray
    folds: np.ndarray
    predicted: dict[tuple[str, str], np.ndarray]
    sure: dict[tuple[str, str], np.ndarray]

    def wrong(self, cell: tuple[str, str]) -> np.ndarray:
        """Numbers of the tests in which the cell does not recognise the clip, the surest mistakes first: int (n,)."""
        wrong = np.flatnonzero(self.predicted[cell] != self.labels)
        return wrong[np.argsort(-self.sure[cell][wrong], kind="stable")]


def collect_tests(predictions: Sequence[Predictions], space: FusionSpace) -> Tests:
    """All tests of the lowest seed; `space` is what fusions average."""
    seed = min(item.seed for item in predictions)
    cells: dict[tuple[str, str], list[Predictions]] = {}
    for item in predictions:
        if item.seed == seed:
            cells.setdefault((item.input, item.method), []).append(item)
    ordered = {cell: sorted(items, key=lambda item: item.fold) for cell, items in cells.items()}
    first = next(iter(ordered.values()))
    shares = {cell: np.concatenate([probabilities(item, space) for item in items]) for cell, items in ordered.items()}
    predicted = {cell: np.concatenate([item.classes_predicted() for item in items]) for cell, items in ordered.items()}
    return Tests(
        tuple(clip for item in first for clip in item.clips),
        np.concatenate([item.labels for item in first]),
        np.concatenate([np.full(len(item.clips), item.fold) for item in first]),
        predicted,
        {cell: np.take_along_axis(shares[cell], predicted[cell][:, None], 1)[:, 0] for cell in cells},
    )


def hardest_first(tests: Tests, best: tuple[str, str]) -> list[str]:
    """Ids of all clips that some cell does not recognise: those of the best cell, then by how many cells fail."""
    failed: dict[str, int] = dict.fromkeys(tests.clips, 0)
    for predicted in tests.predicted.values():
        for number in np.flatnonzero(predicted != tests.labels):
            failed[tests.clips[number]] += 1
    first = dict.fromkeys(tests.clips[number] for number in tests.wrong(best))
    others = sorted((clip for clip, times in failed.items() if times), key=lambda clip: -failed[clip])
    return list(dict.fromkeys([*first, *others]))


def playable_path(video: Path, folder: Path) -> str:
    """The address, from a page in `folder`, of a video below it that browsers play; empty for all others."""
    path = os.path.relpath(video, folder)
    if path.startswith("..") or video.suffix.lower() not in PLAYED_IN:
        return ""
    try:
        header = read_header(str(video))
    except UndecodableError:
        return ""
    return quote(path) if (header.codec, header.pixels) in PLAYED else ""


def preview(fields: ClipFields, clip: str, rate: float) -> bytes:
    """A small video of a clip's stored frames, `rate` of them a second, as the bytes of an mp4 file."""
    stored = fields[clip]
    step = math.ceil(len(stored) / FRAMES)
    places = np.arange(0, len(stored), step)
    height, width = stored.shape[2:]
    scale = min(1.0, SIDE / max(height, width))
    size = max(2, round(scale * width / 2) * 2), max(2, round(scale * height / 2) * 2)
    encoder = choose_encoder()
    small = replace(encoder, options=encoder.options | {"crf": CRF})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "preview.mp4"
        with video_writer(path, *size, rate / step, len(places), small) as video:
            for frame in np.asarray(stored[places]).transpose(0, 2, 3, 1):
                video.write(resize(np.ascontiguousarray(frame), *size))
        return path.read_bytes()


def clip_videos(
    clips: Sequence[str], index: Sequence[Clip], frames: Sequence[Path], folder: Path, bounds: Overview
) -> dict[str, str]:
    """The address of a video of each clip, for as many as there are: a file beside the page, or a preview in it.

    A clip that is a part of its video has a preview.

    Args:
        clips: ids, the most important first.
        index: the clips that are known, with their videos.
        frames: shards of the clips' frames, which previews are made of; none for no previews.
        folder: the page's.
        bounds: of the previews.
    """
    paths = {clip.clip: Path(clip.path) for clip in index}
    whole = {clip.clip for clip in index if clip.part is None}
    videos = {clip: address for clip in clips if clip in whole and (address := playable_path(paths[clip], folder))}
    missing = [clip for clip in clips if clip not in videos][: bounds.previews]
    if not missing or not frames:
        return videos
    fields, room = ClipFields(frames), 1e6 * bounds.megabytes
    for clip in missing:
        rate = stored_rate(fields.parameters) or _rate(paths.get(clip))
        address = f"data:video/mp4;base64,{base64.b64encode(preview(fields, clip, rate)).decode()}"
        room -= len(address)
        if room < 0:
            break
        videos[clip] = address
    return videos


def _rate(path: Path | None) -> float:
    """Frames per second of a video file by its header; RATE where it cannot be read."""
    try:
        return (read_header(str(path)).rate if path else 0) or RATE
    except UndecodableError:
        return RATE
