"""A survey of a folder of videos before anything is computed: classes, lengths, sizes, motion, unreadable files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from stp.data.index import Clip, check_ids
from stp.datasets import LeftOut, find_clips, left_out
from stp.errors import UserError
from stp.flow import tvl1
from stp.system.progress import progress
from stp.video.checking import BadVideo, examine_clips
from stp.video.decoding import UndecodableError, VideoFacts, decode_grey, examine_video

VIDEOS_LOOKED_AT = 24  # videos whose motion is measured
MOTION_PERCENTILE = 99.9


@dataclass(frozen=True)
class Video:
    """A clip that decodes to its end, and its number of frames, size and rate."""

    clip: Clip
    facts: VideoFacts


@dataclass(frozen=True)
class Survey:
    """The videos of a folder CLASS/clip.avi, or those that a list names; importer, lists and options as in a config."""

    videos: tuple[Video, ...]
    bad: tuple[BadVideo, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    importer: str = "folder"
    lists: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> dict[str, int]:
        """Number of clips of each class."""
        return dict(Counter(video.clip.label for video in self.videos))

    @property
    def frames(self) -> int:
        """Number of frames of all clips."""
        return sum(video.facts.frames for video in self.videos)

    def median(self, fact: str) -> int:
        """The median over clips of `frames`, `width` or `height`."""
        return int(median(getattr(video.facts, fact) for video in self.videos))


def survey_folder(
    folder: Path,
    threads: int,
    importer: str = "folder",
    lists: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Survey:
    """Decode all videos that an importer finds in a folder to their ends.

    Raises:
        UserError: the layout is not CLASS/clip.avi, or there is nothing to train on: a single class, or a class with
            fewer than two clips that decode.
    """
    clips = [clip for clip in find_clips(importer, folder, lists, options) if clip.label]
    check_ids(clips)

    def look(clip: Clip) -> Video | BadVideo:
        try:
            return Video(clip, examine_video(clip.path, clip.part))
        except UndecodableError as error:
            return BadVideo(clip, str(error))

    looked = examine_clips(clips, look, threads)
    bad = tuple(video for video in looked if isinstance(video, BadVideo))
    survey = Survey(
        tuple(video for video in looked if isinstance(video, Video)),
        bad,
        left_out(folder, clips, lists),
        importer,
        lists,
        options or {},
    )
    labels = dict.fromkeys(clip.label for clip in clips)
    if len(labels) < 2:
        raise UserError(f"'{folder}' has one class, '{clips[0].label}': add a folder for each of the other classes")
    if few := [label for label in labels if survey.classes.get(label, 0) < 2]:
        listed = "".join(f"\n  {video}" for video in bad)
        raise UserError(
            f"class '{few[0]}' has {survey.classes.get(few[0], 0)} clips that decode, but training and testing need "
            f"one each: add clips or remove the class{listed}"
        )
    return survey


def motion(videos: Sequence[Video], width: int, height: int) -> float:
    """The size of the flow in pixels/frame: in each pair of frames of this size at most 0.1 % of |x| and |y| exceed it.

    It is measured in pairs of neighbouring frames at a quarter, half and three quarters of at most 24 videos, spread
    evenly over all; 0 if all videos have one frame.
    """
    longer = [video for video in videos if video.facts.frames > 1]
    chosen = longer[:: max(1, len(longer) // VIDEOS_LOOKED_AT)][:VIDEOS_LOOKED_AT]
    largest = 0.0
    for video in progress(chosen, desc="motion", unit="clip"):
        firsts = sorted({quarter * (video.facts.frames - 1) // 4 for quarter in (1, 2, 3)})
        until_last = enumerate(islice(decode_grey(video.clip.path, width, height, video.clip.part), firsts[-1] + 2))
        frames = {t: frame for t, frame in until_last if t in firsts or t - 1 in firsts}
        previous, following = (np.stack([frames[first + step] for first in firsts]) for step in (0, 1))
        flow = np.abs(tvl1(previous, following))
        largest = max(largest, float(np.percentile(flow, MOTION_PERCENTILE, axis=(1, 2, 3)).max()))
    return largest


def survey_text(survey: Survey) -> str:
    """The survey as text for the user."""
    facts = [video.facts for video in survey.videos]
    name = max(map(len, survey.classes))
    lines = [f"{len(facts)} clips of {len(survey.classes)} classes"]
    lines += [f"  {label:{name}}  {count:5}" for label, count in survey.classes.items()]
    lengths = [fact.frames for fact in facts]
    lines.append(f"length  {min(lengths)} to {max(lengths)} frames, median {survey.median('frames')}{_seconds(facts)}")
    sizes = sorted({(fact.width, fact.height) for fact in facts}, key=lambda size: size[0] * size[1])
    spread = f" to {sizes[-1][0]}x{sizes[-1][1]}" if len(sizes) > 1 else ""
    lines.append(f"size    {sizes[0][0]}x{sizes[0][1]}{spread} pixels")
    for title, items in (
        ("do not decode", survey.bad),
        ("left out, videos that are no clips", survey.left_out.videos),
        ("left out, no videos by their names", survey.left_out.others),
    ):
        if items:
            lines += [f"{len(items)} {title}:", *(f"  {item}" for item in items)]
    return "\n".join(lines)


def _seconds(facts: Sequence[VideoFacts]) -> str:
    timed = [fact for fact in facts if fact.rate > 0]
    if not timed:
        return ""
    seconds = [fact.times[-1] for fact in timed]
    rates = sorted({round(fact.rate, 2) for fact in timed})
    rate = f"{rates[0]:g} to {rates[-1]:g}" if len(rates) > 1 else f"{rates[0]:g}"
    return f"; {min(seconds):.1f} to {max(seconds):.1f} s at {rate} frames/s"
