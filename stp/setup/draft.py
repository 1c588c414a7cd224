"""A config for a folder of videos: each choice follows from the videos and the machine, and a comment says why."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stp.config import Flow, Frames, Scheme, Training

if TYPE_CHECKING:
    from stp.setup.survey import Survey

GIB = 2**30
RATES_DIFFER = 1.2  # times the lowest frame rate
PAPER_SIZE = (Frames.width, Frames.height)  # pixels (section 4.1)
SMALL_SIZE = (170, 128)  # half of it, for CPUs
PAPER_BOUND = Flow.bound  # pixels/frame, of PAPER_SIZE
MOST_FOLDS = 3  # the paper's
PAPER_CLIPS = 607  # that train in a fold
CLIPS_A_SHARD, MOST_BYTES_A_SHARD, USUAL_SHARDS = 8, 4 * GIB, 16
# JPEG's share of the bytes of frames and of flow, a little above those in benchmarks/RESULTS.md.
JPEG_FRAMES, JPEG_FLOW = 1 / 8, 1 / 20

# The settings for a CPU are those of config/ut_interaction.yaml. The times were measured with it on one core of the
# machine of benchmarks/RESULTS.md: seconds to train an image, to score a clip by a stream, for a frame's two flows.
BATCH_VIDEOS = 8
# Epochs for so many training clips of so many classes. RGB has twice the config's, after which the loss had not settled
# on more classes (benchmarks/RESULTS.md). More classes take more steps of SGD; more clips take no fewer epochs.
EPOCHS, CLIPS_OF_EPOCHS, CLASSES_OF_EPOCHS = {"rgb": 32, "flow": 30}, 80, 6
MOST_TIMES = 5.0  # so many epochs
IMAGES_A_VIDEO = {"baseline": 3, "3-level": 12}
SECONDS_TRAINING, SECONDS_SCORING, SECONDS_FLOW = 0.012, 0.25, 0.012
CPU_JOB_MB = 5000


@dataclass(frozen=True)
class Resources:
    """The machine's processors, memory, disk, GPU and weights."""

    processors: int
    memory: int  # bytes that are free
    disk: int  # bytes that are free where the results will be
    gpu: bool
    weights: Path  # where BN-Inception's public file belongs


@dataclass(frozen=True)
class Draft:
    """The values chosen for a config; `bytes` is the size of frames, flow and warped flow on disk."""

    folder: Path
    results: Path
    size: tuple[int, int]
    motion: float  # pixels/frame, as `stp.setup.survey.motion` measures it
    bound: int
    scheme: Scheme
    folds: int
    shards: int
    storage: str
    bytes: int
    epochs: dict[str, int]


def frame_size(survey: "Survey", gpu: bool) -> tuple[int, int]:
    """Width and height of the stored frames: the paper's, half of it on CPUs; upright if the median video is.

    Videos with less than half as many pixels keep their median size, because enlarging them adds no detail.
    """
    width, height = survey.median("width"), survey.median("height")
    size = PAPER_SIZE if gpu else SMALL_SIZE
    if 2 * width * height < size[0] * size[1]:
        return max(width, 32), max(height, 32)
    return (size[1], size[0]) if height > width else size


def flow_bound(motion: float) -> int:
    """The motion in pixels/frame, rounded up, and at least 2: nothing of what was measured is cut off."""
    return max(2, math.ceil(motion))


def stored_bytes(frames: int, size: tuple[int, int], storage: str) -> tuple[int, int]:
    """Bytes of frames of a size, and of one flow of as many: 3 and 2 a pixel, or the shares of them as JPEG."""
    pixels = frames * size[0] * size[1]
    if storage == "jpeg":
        return int(3 * pixels * JPEG_FRAMES), int(2 * pixels * JPEG_FLOW)
    return 3 * pixels, 2 * pixels


def draft(survey: "Survey", folder: Path, results: Path, motion: float, resources: Resources) -> Draft:
    """Choose the values that suit the videos and the machine."""
    size = frame_size(survey, resources.gpu)
    bytes_as = {}
    for kind in ("raw", "jpeg"):
        frames, flow = stored_bytes(survey.frames, size, kind)
        bytes_as[kind] = frames + 2 * flow  # and warped flow
    storage = "raw" if 2 * bytes_as["raw"] <= resources.disk else "jpeg"
    clips, (scheme, folds) = len(survey.videos), folds_for(survey)
    few = min(USUAL_SHARDS, math.ceil(clips / CLIPS_A_SHARD))
    raw_frames, _ = stored_bytes(survey.frames, size, "raw")
    shards = min(clips, max(few, math.ceil(raw_frames / MOST_BYTES_A_SHARD)))
    epochs = settled_epochs(training_clips(survey, scheme, folds), len(survey.classes))
    bound = flow_bound(motion)
    return Draft(folder, results, size, motion, bound, scheme, folds, shards, storage, bytes_as[storage], epochs)


def settled_epochs(clips: int, classes: int) -> dict[str, int]:
    """Epochs of RGB and of flow after which the loss of so many training clips and classes should have settled."""
    times = max(1.0, CLIPS_OF_EPOCHS / clips * classes / CLASSES_OF_EPOCHS)
    return {stream: round(min(times, MOST_TIMES) * number) for stream, number in EPOCHS.items()}


def folds_for(survey: "Survey") -> tuple[Scheme, int]:
    """The scheme of splits and its number of folds: official if the clips have such splits, else grouped or random."""
    clips = [video.clip for video in survey.videos]
    numbers = {len(clip.split.split(";")) if clip.split else 0 for clip in clips}
    if len(numbers) == 1 and 0 not in numbers:
        return "official", numbers.pop()
    folds = min(MOST_FOLDS, *survey.classes.values())
    groups = {clip.group for clip in clips}
    if "" in groups or len(groups) < 2:
        return "random", folds
    return "grouped", min(folds, len(groups))


def training_clips(survey: "Survey", scheme: Scheme, folds: int) -> int:
    """The number of clips that train in a fold: of an official split, in its first."""
    clips = [video.clip for video in survey.videos]
    if scheme == "official":
        return max(1, sum(clip.split.split(";")[0] == "train" for clip in clips))
    return len(clips) - len(clips) // folds


def cpu_minutes(survey: "Survey", draft: Draft, processors: int, times: int = 1) -> float:
    """Estimate of the minutes that the settings for a CPU take, or would take with so many times the epochs."""
    trained = training_clips(survey, draft.scheme, draft.folds) * draft.folds
    epochs = times * (draft.epochs["rgb"] + 2 * draft.epochs["flow"])
    training = SECONDS_TRAINING * trained * epochs * sum(IMAGES_A_VIDEO.values())
    scoring = SECONDS_SCORING * len(survey.videos) * 3 * len(IMAGES_A_VIDEO)
    area = draft.size[0] * draft.size[1] / (SMALL_SIZE[0] * SMALL_SIZE[1])
    return (training + scoring + SECONDS_FLOW * area * survey.frames) / processors / 60


def time_words(survey: "Survey", draft: Draft, processors: int) -> str:
    """The time that the settings for a CPU take, and that twice the epochs would."""
    minutes = (cpu_minutes(survey, draft, processors, times) for times in (1, 2))
    once, twice = (f"{each / 60:.1f} hours" if each >= 120 else f"{math.ceil(each)} minutes" for each in minutes)
    return f"about {once}, flow and scores included; with twice the epochs, {twice}"


def one_rate(survey: "Survey") -> str:
    """The line of `frames.fps`, the lowest rate, where the videos' rates differ so much that their flow does."""
    rates = [video.facts.rate for video in survey.videos if video.facts.rate > 0]
    if not rates or max(rates) < RATES_DIFFER * min(rates):
        return ""
    lowest = f"{min(rates):.4g}"
    return f"  fps: {lowest}  # the videos have {lowest} to {max(rates):.4g}, and flow is in pixels/frame\n"


def config_text(survey: "Survey", draft: Draft, resources: Resources) -> str:
    """The text of the config file; keys that are left out have the paper's values."""
    bad = len(survey.bad)
    skip = f"on_bad_video: skip  # {bad} of {bad + len(survey.videos)} videos do not decode; error would stop there\n\n"
    short = sum(video.facts.frames < 20 for video in survey.videos)
    shorter = f"; {short} are shorter than a segment of 20 frames and repeat their last" if short else ""
    rare = min(survey.classes.values())
    words_of_folds = "of the official split" if draft.scheme == "official" else f"the rarest class has {rare} clips"
    measured = f"99.9 % of the flow of every pair looked at is below {draft.motion:.1f}"
    if draft.bound > PAPER_BOUND:
        measured += f"; more than the paper's {PAPER_BOUND}, so look for cuts between scenes, and lower it if there are"
    return f"""\
# {len(survey.videos)} clips of {len(survey.classes)} classes, {survey.frames} frames{shorter}.
# Drafted by `stp init`. All keys are explained in config.yaml; those left out have the paper's values.

results: {_quoted(draft.results)}  # folder of everything that is computed

dataset:
{_importer(survey)}
  path: {_quoted(draft.folder)}
{_lists(survey)}
{skip if bad else ""}shards: {draft.shards}  # files of each modality; each is a job of decoding and one of flow

frames:
  width: {draft.size[0]}  # pixels; {_size_words(draft.size)}
  height: {draft.size[1]}
{one_rate(survey)}
storage:
  format: {draft.storage}  # {draft.bytes / GIB:.2f} GiB of frames, flow and warped flow; \
{resources.disk / GIB:.0f} GiB are free

flow:
  bound: {draft.bound}  # +-{draft.bound} pixels/frame map to 0..255; {measured}

splits:
  scheme: {draft.scheme}  # {_scheme_words(survey, draft.scheme)}
  folds: {draft.folds}  # {words_of_folds}
  seed: 0

{_gpu_recipe(survey, draft, resources) if resources.gpu else _cpu_recipe(survey, draft, resources)}"""


def _quoted(path: Path) -> str:
    """The path as a YAML string, for any characters in it."""
    return json.dumps(str(path), ensure_ascii=False)


def _importer(survey: "Survey") -> str:
    """The line of the importer."""
    if survey.importer == "list":
        return "  importer: list  # a csv file names the clips"
    return "  importer: folder  # CLASS/clip.avi"


def _lists(survey: "Survey") -> str:
    """The lines of lists and options, which may be none."""
    lines = ""
    if survey.lists:
        words = "" if survey.importer == "list" else "  # the clips' groups"
        lines += f"  lists: {_quoted(survey.lists)}{words}\n"
    if survey.options:
        named = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in survey.options.items())
        lines += f"  options: {{{named}}}\n"
    return lines


def _scheme_words(survey: "Survey", scheme: Scheme) -> str:
    """The reason for a scheme of splits."""
    if scheme == "official":
        return "the splits that the list gives" if survey.importer == "list" else "the split that the folders give"
    if scheme == "grouped":
        groups = len({video.clip.group for video in survey.videos})
        return f"no group is on both sides of a fold; there are {groups}"
    unknown = "clips of one person or recording may then train and test; "
    below = all(video.clip.clip.count("/") > 1 for video in survey.videos)
    if survey.importer == "folder" and below:
        return f"{unknown}if the folders below the classes are people: grouped, and dataset.options: {{groups: true}}"
    if survey.importer == "list":
        return f"{unknown}if you know who acts, give the list a column group, and then stp init again"
    return f"{unknown}if names tell who acts, stp init --group REGEX finds the groups"


def _size_words(size: tuple[int, int]) -> str:
    known = {PAPER_SIZE: "the paper's size", SMALL_SIZE: "half the paper's size, for a CPU"}
    upright = {(height, width): f"{words}, upright" for (width, height), words in known.items()}
    return (known | upright).get(size, "the videos' own size")


def _gpu_recipe(survey: "Survey", draft: Draft, resources: Resources) -> str:
    paper, clips = Training(), training_clips(survey, draft.scheme, draft.folds)
    own, published = (math.ceil(number / paper.batch_videos) * paper.rgb.epochs for number in (clips, PAPER_CLIPS))
    few = ""
    if own < published:
        few = f"""\
# With so few clips they are {own} steps of SGD for RGB, where the paper's are {published}. If `stp runs` says that a
# loss is still falling, give training.rgb and training.flow more epochs: twice as many take twice the time.
"""
    where = "is there" if resources.weights.is_file() else f"belongs at {resources.weights}"
    return f"""\
# A GPU is here, so this is the paper's recipe: BN-Inception on 224x224 pixels, 80 epochs of RGB and 320 of flow.
{few}model:
  backbone: bninception
  weights: imagenet  # the public file {resources.weights.name} {where}

compute:
  gpus: 1  # of a job
  threads: {min(4, resources.processors)}
  mem_mb: 16000
"""


def _cpu_recipe(survey: "Survey", draft: Draft, resources: Resources) -> str:
    time = time_words(survey, draft, resources.processors)
    rgb, flow = draft.epochs["rgb"], draft.epochs["flow"]
    return f"""\
# No GPU is here, so this is a small network on 112x112 pixels. {resources.processors} processors take {time}.
# Fewer variants, modalities or folds take proportionally less.
variants: [baseline, 3-level]  # the paper has 1-level, 2-level and 4-level, too

model:
  backbone: efficientnet_lite0
  weights: imagenet  # carried by an installed package
  input_size: 112  # pixels

training:
  batch_videos: {BATCH_VIDEOS}
  rgb:
    epochs: {rgb}  # passes over the training clips; twice as many if `stp runs` says that the loss is still falling
    milestones: [{rgb * 3 // 4}]  # epochs after which the learning rate falls to a tenth
    learning_rate: 0.0006
    dropout: 0.5
  flow:  # optical flow (of) and warped flow (wof)
    epochs: {flow}
    milestones: [{flow * 3 // 4}]
    learning_rate: 0.0006
    dropout: 0.5

scoring:
  segments: 8  # of a test clip; the paper's are 25 segments and 10 crops, 15 times the work
  crops: 2

compute:
  gpus: 0
  threads: 1  # of a job; as many jobs run at once as --cores allows
  mem_mb: {CPU_JOB_MB}  # of a job
"""
