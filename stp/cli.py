"""The command line: `stp SUBCOMMAND`, also `python -m stp SUBCOMMAND`; one subcommand a stage of the pipeline.

Modules are imported inside the subcommands, so that a stage pays only for what it uses.
"""

import csv
import json
import logging
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stp.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from stp.predictions import Predictions
    from stp.runs import Settings
    from stp.scores import Scores

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)
log = logging.getLogger("stp")

Output = Annotated[Path, typer.Option("-o", "--output", help="File to write.")]
Threads = Annotated[int, typer.Option(min=1, help="Processor threads to use.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BackendName = Annotated[
    str, typer.Option(help="auto, numba, triton (NVIDIA GPUs), torch, opencv or opencv-cuda; auto is numba.")
]
ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
ExistingFiles = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)]
Text = Annotated[Path, typer.Option(help="Markdown for reading, to write.")]
Stem = Annotated[Path, typer.Option("-o", "--output", help="Stem of the files to write.")]
Reported = Annotated[Path, typer.Option(exists=True, dir_okay=False, help="csv of what others report.")]
Weights = Annotated[str, typer.Option(help="Weight of each stream, as rgb=1,of=1.5,wof=1.")]


class OnBadVideo(StrEnum):
    """What happens to clips that do not decode."""

    error = "error"
    skip = "skip"


class Semantics(StrEnum):
    """Whose TV-L1 is followed."""

    opencv_cpu = "opencv-cpu"
    opencv_cuda = "opencv-cuda"


class FlowFormatName(StrEnum):
    """How flow is written."""

    h5 = "h5"
    npy = "npy"
    png = "png"
    jpg = "jpg"
    mp4 = "mp4"


class Detector(StrEnum):
    """Key points of warped flow."""

    orb = "orb"
    sift = "sift"


class Scheme(StrEnum):
    """How clips are divided into folds."""

    random = "random"
    grouped = "grouped"
    leave_one_group_out = "leave_one_group_out"
    official = "official"


class ScoredSet(StrEnum):
    """Which clips of a fold are scored."""

    test = "test"
    hidden = "hidden"


class Space(StrEnum):
    """What is averaged when streams are fused."""

    scores = "scores"
    probabilities = "probabilities"


class StorageName(StrEnum):
    """How frames and fields are stored."""

    raw = "raw"
    jpeg = "jpeg"


class ResidenceName(StrEnum):
    """Whether a modality's fields are loaded into the device's memory."""

    auto = "auto"
    always = "always"
    never = "never"


class CompilationName(StrEnum):
    """Whether a training compiles its network."""

    auto = "auto"
    always = "always"
    never = "never"


Resident = Annotated[ResidenceName, typer.Option(help="Load all fields into the device's memory: auto, if they fit.")]
MemoryShare = Annotated[float, typer.Option(min=0.01, max=1, help="Share of the free memory that they may take.")]
GpuShare = Annotated[
    int, typer.Option(min=1, help="Runs that may share a GPU, where there are several and none is named.")
]
Storage = Annotated[StorageName, typer.Option(help="Bytes as they are, or JPEG for data sets too large for that.")]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG.")]


@app.callback()
def logging_options(
    log_file: Annotated[
        Path | None, typer.Option("--log", help="Log file; the terminal then shows only warnings.")
    ] = None,
) -> None:
    """Recognise micro actions in videos with a segment-level temporal pyramid."""
    if log_file or not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # read when a subcommand imports tqdm
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # bad videos are named in our own words
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("stp: %(levelname)s: %(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
        terminal.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, handlers=handlers)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # tells of every glyph in a pdf


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to fill with CLASS/clip.mp4.")],
    clips_per_class: Annotated[int, typer.Option(min=1)] = 36,
    frames: Annotated[int, typer.Option(min=12)] = 24,
    width: Annotated[int, typer.Option(min=32)] = 128,
    height: Annotated[int, typer.Option(min=32)] = 96,
    actors: Annotated[int, typer.Option(min=1)] = 6,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: Threads = 1,
) -> None:
    """Draw the embedded demo data set as video files."""
    from stp.datasets.demo import generate

    generate(folder, clips_per_class, frames, width, height, actors, seed=seed, threads=threads)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the videos.")],
    output: Output,
    skipped: Annotated[Path, typer.Option(help="csv of the clips that were skipped, to write.")],
    importer: Annotated[
        str, typer.Option(help="Layout of the videos: folder, demo, ut_interaction, pev, hmdb51, ma52.")
    ] = "folder",
    lists: Annotated[Path | None, typer.Option(help="Folder of the data set's official lists.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Option of the importer, as NAME=VALUE.")] = None,
    on_bad_video: OnBadVideo = OnBadVideo.error,
    threads: Threads = 1,
) -> None:
    """Find the clips of a data set, decode each to its end, and write the index."""
    from stp.datasets import find_clips
    from stp.files import complete_file
    from stp.frames import check_videos
    from stp.index import check_ids, write_index

    clips = find_clips(importer, folder, lists, parse_options(option or []))
    check_ids(clips)
    good, bad = check_videos(clips, threads)
    if bad and on_bad_video is OnBadVideo.error:
        listed = "\n".join(f"  {video}" for video in bad)
        raise UserError(
            f"{len(bad)} of {len(clips)} videos do not decode; mend or remove them, or set on_bad_video: skip\n{listed}"
        )
    emptied = {video.clip.label for video in bad} - {clip.label for clip in good} - {""}
    if emptied:
        raise UserError(f"no video of class '{min(emptied)}' decodes; mend them or remove the class")
    for video in bad:
        log.warning("skipped %s", video)
    with complete_file(skipped) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "path", "reason"])
        writer.writerows([video.clip.clip, video.clip.path, video.reason] for video in bad)
    write_index(output, good)
    log.info("%d clips of %d classes", len(good), len({clip.label for clip in good} - {""}))


@app.command()
def frames(
    index_file: ExistingFile,
    output: Output,
    shard: Annotated[int, typer.Option(min=0)] = 0,
    shards: Annotated[int, typer.Option(min=1)] = 1,
    width: Annotated[int, typer.Option(min=1, help="Pixels.")] = 340,
    height: Annotated[int, typer.Option(min=1, help="Pixels.")] = 256,
    storage: Storage = StorageName.raw,
    quality: Quality = 95,
) -> None:
    """Decode the clips of one shard into RGB frames."""
    from stp.extraction import extract_frames
    from stp.index import read_index
    from stp.storage import StorageFormat

    chosen = StorageFormat(storage.value, quality)
    extract_frames(read_index(index_file).shard(shard, shards), output, width, height, chosen)


@app.command()
def extract(
    frames_file: ExistingFile,
    output: Annotated[Path, typer.Argument(help="Flow of the clips, to write.")],
    warped: Annotated[Path | None, typer.Argument(help="Warped flow, camera motion taken out, to write.")] = None,
    backend: BackendName = "auto",
    semantics: Semantics = Semantics.opencv_cpu,
    bound: Annotated[float, typer.Option(min=0.01, help="+-bound pixels/frame map to 0..255.")] = 20.0,
    detector: Detector = Detector.orb,
    storage: Storage = StorageName.raw,
    quality: Quality = 95,
    threads: Threads = 1,
) -> None:
    """Compute TV-L1 flow, and warped flow if a file is named for it, of the clips of one shard."""
    from stp.clip_batches import FlowSettings
    from stp.extraction import extract_flow
    from stp.flow import TVL1Parameters, resolve_backend
    from stp.storage import StorageFormat

    engine, parameters = resolve_backend(backend, semantics.value), TVL1Parameters(semantics=semantics.value)
    settings = FlowSettings(engine, parameters, detector.value if warped else None)
    extract_flow(frames_file, output, warped, settings, bound, threads, StorageFormat(storage.value, quality))


@app.command()
def flow(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Videos; folders of images, the frames of one clip in natural order (2 before 10); folders of those, "
            "searched to the bottom."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: OUT/of/NAME and OUT/wof/NAME.")],
    file_format: Annotated[
        FlowFormatName,
        typer.Option(
            "--format",
            help="h5: bytes, what the pipeline trains on. npy: float32 (T-1, 2, H, W). png, jpg: bytes as images, "
            "a folder of flow_x_00001, flow_y_00001, ...; jpg is lossy. mp4: colours, for looking at.",
        ),
    ] = FlowFormatName.h5,
    warped: Annotated[bool, typer.Option("--warped", help="Also flow without the camera's motion: OUT/wof.")] = False,
    bound: Annotated[
        float,
        typer.Option(
            min=0.01, help="+-bound pixels map to bytes 0..255, 128 is no motion; mp4: length of full colour."
        ),
    ] = 20.0,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Resize frames, e.g. to 340x256.", show_default="own size")
    ] = None,
    backend: BackendName = "auto",
    semantics: Annotated[
        Semantics, typer.Option(help="Which of OpenCV's two TV-L1s; published networks mostly saw opencv-cuda.")
    ] = Semantics.opencv_cpu,
    detector: Annotated[Detector, typer.Option(help="Key points for --warped; sift is slower.")] = Detector.orb,
    step: Annotated[int, typer.Option(min=1, help="Flow from each frame to the one so many later.")] = 1,
    threads: Annotated[str, typer.Option(metavar="N", help="Processor threads: all or a number.")] = "all",
) -> None:
    """Turn videos or folders of frames into TV-L1 optical flow.

    A video is named by its stem, a folder of frames by its own name, and what lies deeper in a folder by its path from
    there. Flow is x (rightwards) and y (downwards) in pixels.

    Call it again after an interruption and it goes on: files appear only when complete, and complete ones stay.
    OUT/flow.json keeps the options; other options want another OUT. Sources that cannot be read to their end are named
    and skipped, and the exit status is then 1.

    Examples:

        stp flow clip.avi -o flow
        stp flow videos/ -o flow --format jpg --warped --size 340x256
        stp flow clip.avi -o look --format mp4 --bound 5
    """
    from stp.clip_batches import FlowSettings
    from stp.flow import TVL1Parameters, resolve_backend
    from stp.flow_tool import FlowFolder, make_flow
    from stp.sources import find_sources

    engine, parameters = resolve_backend(backend, semantics.value), TVL1Parameters(semantics=semantics.value)
    settings = FlowSettings(engine, parameters, detector.value if warped else None, step=step)
    folder = FlowFolder(output, file_format.value, bound, parse_size(size) if size else None, settings)
    make_flow(find_sources(sources), folder, parse_threads(threads))


@app.command()
def splits(
    index_file: ExistingFile,
    outputs: Annotated[list[Path], typer.Argument(help="csv of each fold, to write; as many folds as files.")],
    scheme: Scheme = Scheme.random,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Divide the clips into folds."""
    from stp.index import read_index
    from stp.splits import make_folds, write_fold

    table = read_index(index_file)
    folds = make_folds(table, scheme.value, len(outputs), seed)
    for path, words in zip(outputs, folds, strict=True):
        write_fold(path, table, words)


@app.command()
def weights(
    output: Output,
    backbone: Annotated[str, typer.Option(help="bninception, convnet, torchvision/NAME or a name of timm's.")],
    weights: Annotated[str, typer.Option(help="none, imagenet or the path of a state dict.")] = "imagenet",
    width: Annotated[float, typer.Option(min=0.001, help="Multiplier of the channels.")] = 1.0,
    input_size: Annotated[int, typer.Option(min=1, help="Side of the network's input in pixels.")] = 224,
) -> None:
    """Check that backbone, initial weights and input size fit, and write a report of the weights."""
    from stp.files import complete_file
    from stp.models.backbones import weights_report

    report = weights_report(backbone, weights, width, input_size)
    with complete_file(output) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


@app.command()
def train(
    index_file: ExistingFile,
    fold_file: ExistingFile,
    clips: ExistingFiles,
    output: Output,
    log_csv: Annotated[Path, typer.Option(help="csv of loss, accuracy, ... of each epoch, to write.")],
    variant: Annotated[str, typer.Option(help="baseline or T-level.")] = "3-level",
    fold: Annotated[int, typer.Option(min=1)] = 1,
    settings: Annotated[str, typer.Option(help="Settings that differ from the paper's, as JSON.")] = "{}",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    state: Annotated[
        Path | None, typer.Option(help="Folder of the run's own in which its state is kept until it is complete.")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Keep the state so often, beside the ends of epochs.")
    ] = 5.0,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder of the run's curves, to write.")] = None,
    device: Device = "auto",
    resident: Resident = ResidenceName.auto,
    memory_share: MemoryShare = 0.6,
    micro_batch_videos: Annotated[
        int, typer.Option(min=0, help="Videos of a mini-batch held in memory at once, for small GPUs; 0 is all.")
    ] = 0,
    compilation: Annotated[
        CompilationName, typer.Option("--compile", help="Compile the network: auto, on GPUs in long trainings.")
    ] = CompilationName.auto,
    gpu_share: GpuShare = 1,
    threads: Threads = 1,
) -> None:
    """Train one run: a modality (that of the clips given), a variant, a fold and a seed.

    With --state, a training that was killed goes on where it was when it is called again with the same arguments.
    SIGTERM, SIGUSR1 and Ctrl-C stop it after the batch under way, its state kept; the exit status is then 75, which
    means: try again.
    """
    import torch

    from stp.checkpoints import Checkpoints, training_definition
    from stp.devices import reserved_device
    from stp.index import read_index
    from stp.memory import keep_freed_memory
    from stp.runs import Run, save_run
    from stp.splits import read_fold
    from stp.stop_request import EXIT_STATUS, Stopped, StopRequest
    from stp.storage import ClipFields
    from stp.train import train as train_run

    keep_freed_memory()
    torch.set_num_threads(threads)
    table, fields = read_index(index_file), ClipFields(clips)
    chosen = [c for c, word in zip(table.clips, read_fold(fold_file, table), strict=True) if word == "train"]
    run = Run(fields.modality, variant, fold, table.classes, parse_settings(settings), seed)
    checkpoints = None
    with reserved_device(device, gpu_share) as where:
        if state:
            definition = training_definition(run, chosen, fields, clips, where)
            checkpoints = Checkpoints(state, definition, checkpoint_minutes)
        try:
            with StopRequest() as stop:
                network = train_run(
                    run,
                    fields,
                    chosen,
                    where,
                    log_csv,
                    checkpoints,
                    stop,
                    tensorboard,
                    resident.value,
                    memory_share,
                    micro_batch_videos,
                    compilation.value,
                )
                save_run(output, run, network, [clip.clip for clip in chosen])
        except Stopped as stopped:
            log.warning("%s", stopped)
            raise typer.Exit(EXIT_STATUS) from None
    if checkpoints:
        checkpoints.remove()


@app.command()
def score(
    model: ExistingFile,
    index_file: ExistingFile,
    fold_file: ExistingFile,
    clips: ExistingFiles,
    output: Output,
    scored: Annotated[
        ScoredSet, typer.Option("--set", help="The fold's test clips or those whose label is hidden.")
    ] = ScoredSet.test,
    segments: Annotated[int, typer.Option(min=1)] = 25,
    crops: Annotated[int, typer.Option(help="1, 2, 5 or 10.")] = 10,
    device: Device = "auto",
    resident: Resident = ResidenceName.auto,
    memory_share: MemoryShare = 0.6,
    gpu_share: GpuShare = 1,
    threads: Threads = 1,
) -> None:
    """Score a fold's test clips, or those whose labels are hidden, by its trained run."""
    from dataclasses import replace

    import torch

    from stp.crops import TEST_CROPS
    from stp.devices import configure, reserved_device
    from stp.index import read_index
    from stp.memory import keep_freed_memory
    from stp.runs import load_run, training_clips
    from stp.score import score as score_run
    from stp.scores import write_scores
    from stp.splits import read_fold
    from stp.storage import ClipFields
    from stp.train import full_memory_named

    if crops not in TEST_CROPS:
        raise UserError(f"--crops: {crops} is none of {', '.join(map(str, TEST_CROPS))}")
    keep_freed_memory()
    torch.set_num_threads(threads)
    run, network = load_run(model)
    table, fields = read_index(index_file), ClipFields(clips)
    if (fields.modality, table.classes) != (run.modality, run.classes):
        raise UserError(
            f"{model}: trained on {run.modality} and classes {', '.join(run.classes)}, not on what is given"
        )
    chosen = [c for c, word in zip(table.clips, read_fold(fold_file, table), strict=True) if word == scored.value]
    if not chosen:
        raise UserError(f"{fold_file}: has no {scored.value} clip to score")
    if trained := training_clips(model) & {clip.clip for clip in chosen}:
        raise UserError(
            f"{model}: trained on {len(trained)} of the clips to score, as '{min(trained)}'; give its own fold"
        )
    keys = "model.input_size or compute.memory_share, or take another compute.device"
    with reserved_device(device, gpu_share) as where, full_memory_named(run, keys):
        configure(where, run.settings.deterministic)
        scores = score_run(run, network, fields, chosen, segments, crops, where, resident.value, memory_share)
    write_scores(output, replace(scores, coarse=table.coarse), {"segments": segments, "crops": crops})


@app.command()
def runs(
    results: Annotated[Path, typer.Argument(help="The config's results folder.")] = Path("results"),
) -> None:
    """List the runs of a results folder: done, training or interrupted, with epoch, loss, accuracy and time left."""
    from stp.run_table import run_statuses, run_table

    statuses = run_statuses(results)
    print(run_table(statuses) if statuses else f"no runs in {results}")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of your videos: CLASS/clip.avi.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Config to write.", show_default="FOLDER's name.yaml")
    ] = None,
) -> None:
    """Look at a folder of videos and write a config that suits them and this machine.

    Every video is decoded to its end. What is chosen, and why, stands in the config; nothing is overwritten.
    """
    import torch

    from stp.config_draft import Resources, command, config_text, draft, frame_size
    from stp.files import complete_file
    from stp.machine import free_disk, processors
    from stp.memory import process_memory
    from stp.models.backbones import bninception_path
    from stp.video_survey import motion, survey_folder, survey_text

    name = folder.resolve().name
    config = output or Path(f"{name}.yaml")
    if config.exists():
        raise UserError(f"--output: '{config}' exists and is left as it is; name another file with -o")
    survey = survey_folder(folder, processors())
    print(survey_text(survey))
    gpu = torch.cuda.is_available()
    results = Path("results/own") / name
    resources = Resources(processors(), process_memory().free, free_disk(results), gpu, bninception_path())
    size = frame_size(survey, gpu)
    chosen = draft(survey, folder, results, motion(survey.videos, *size), resources)
    with complete_file(config) as temporary:
        temporary.write_text(config_text(survey, chosen, resources), encoding="utf-8")
    print(f"\nwrote {config}: read it, then type\n\n    {command(config, resources)}")


@app.command()
def doctor(
    results: Annotated[Path, typer.Argument(help="Folder that will hold the results.")] = Path("results"),
) -> None:
    """Say what this machine offers, what of it is used, and how to mend what is missing.

    Exit status 0 means that `make table1` can run here.
    """
    from stp.doctor import can_run, examine_machine, report

    findings = examine_machine(results)
    print(report(findings))
    if not can_run(findings):
        raise typer.Exit(1)


def parse_options(texts: list[str]) -> dict[str, str]:
    """`view=second` -> value by name; UserError for anything else."""
    options = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name in options:
            raise UserError(f"--option: '{text}' is not of the form NAME=VALUE, or is given twice")
        options[name] = value
    return options


def parse_weights(text: str) -> dict[str, float]:
    """`rgb=1,of=1.5` -> numbers by modality; UserError for anything else."""
    try:
        weights = {name: float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise UserError(f"--weights: '{text}' is not of the form rgb=1,of=1.5,wof=1") from None
    if set(weights) - {"rgb", "of", "wof"} or min(weights.values()) <= 0:
        raise UserError(f"--weights: '{text}' must give positive weights of rgb, of and wof")
    return weights


def parse_size(text: str) -> tuple[int, int]:
    """`340x256` -> width and height; UserError for anything else."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"--size: '{text}' is not of the form WIDTHxHEIGHT, for example 340x256")
    return int(match[1]), int(match[2])


def parse_threads(text: str) -> int:
    """`all` -> the processors that this process may use, `4` -> 4; UserError for anything else."""
    if text == "all":
        return len(os.sched_getaffinity(0))
    if not re.fullmatch(r"[1-9]\d*", text):
        raise UserError(f"--threads: '{text}' is neither all nor a number from 1 on")
    return int(text)


def parse_settings(text: str) -> "Settings":
    """Settings from JSON; UserError for what is not JSON or has unknown names."""
    from stp.runs import Settings

    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings: not JSON ({error}); give for example '{{\"batch_videos\": 16}}'") from None
    return Settings.from_dict(values)


def read_all_scores(paths: list[Path], weights: dict[str, float], hidden: bool = False) -> "list[Scores]":
    """Scores of all files, of clips whose labels are known or hidden; every modality must have a weight."""
    from stp.scores import read_scores

    runs = [read_scores(path) for path in paths]
    for path, run in zip(paths, runs, strict=True):
        if bool((run.labels < 0).any()) != hidden:
            raise UserError(f"{path}: scores of clips whose labels are {'known' if hidden else 'hidden'}; leave it out")
    unweighted = {run.modality for run in runs} - set(weights)
    if unweighted:
        raise UserError(f"--weights: no weight for {', '.join(sorted(unweighted))}; give rgb=1,of=1.5,wof=1")
    return runs


@app.command()
def table1(
    scores: ExistingFiles,
    output: Output,
    long: Annotated[Path, typer.Option(help="csv of every fold, to write.")],
    text: Text,
    skipped: Annotated[Path | None, typer.Option(help="csv of clips that were skipped, for the notes.")] = None,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Fuse streams and write the paper's Table 1 from scores of all runs."""
    from stp import tables
    from stp.files import complete_file
    from stp.metrics import summarise
    from stp.notes import table1_notes

    shares = parse_weights(weights)
    runs = read_all_scores(scores, shares)
    folds = tables.fold_accuracies(runs, shares, space.value)
    summary = summarise(folds)
    rows = list(csv.DictReader(skipped.open(encoding="utf-8"))) if skipped else []
    notes = table1_notes(runs, shares, space.value, [f"{row['clip']} ({row['reason']})" for row in rows])
    with complete_file(long) as temporary:
        tables.long_table(folds).to_csv(temporary, index=False)
    write_table(output, tables.table1(summary), text, tables.table1_text(summary, notes))


def predict_all(paths: list[Path], weights: str, space: Space) -> "list[Predictions]":
    """Predictions of every input and variant that the scores files allow."""
    from stp.predictions import predict

    shares = parse_weights(weights)
    return predict(read_all_scores(paths, shares), shares, space.value)


def write_table(output: Path, table: "pd.DataFrame", text: Path, words: str) -> None:
    """Write a table as csv, and for reading."""
    from stp.files import complete_file

    with complete_file(text) as temporary:
        temporary.write_text(words, encoding="utf-8")
    with complete_file(output) as temporary:
        table.to_csv(temporary, index=False)
    log.info("%s", words)


@app.command()
def comparison(
    output: Output,
    reported: Reported,
    text: Text,
    scores: Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False)] = None,
    data: Annotated[str, typer.Option(help="Name of the data that the scores are of.")] = "",
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Write what others report beside what is measured here, as the paper's Tables 2 and 3."""
    from stp.comparison import compare, comparison_text, read_reported
    from stp.metrics import fold_metrics, summarise
    from stp.notes import version_note

    summary = summarise(fold_metrics(predict_all(scores, weights, space))) if scores else None
    table = compare(read_reported(reported), summary, data)
    write_table(output, table, text, comparison_text(reported.stem, table, [version_note()]))


@app.command()
def metrics(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Fuse streams and write accuracy, top-5 accuracy and F1 scores of every input and variant."""
    from stp.metrics import fold_metrics, metrics_table, metrics_text

    table = metrics_table(fold_metrics(predict_all(scores, weights, space)))
    write_table(output, table, text, metrics_text(table))


@app.command()
def statistics(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples of the test clips.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Fuse streams and write spreads, bootstrap intervals and McNemar's tests against the baseline."""
    from stp.statistics import statistics_notes, statistics_table, statistics_text

    predictions = predict_all(scores, weights, space)
    table = statistics_table(predictions, resamples, seed)
    notes = statistics_notes(table, min(item.seed for item in predictions), resamples, seed)
    write_table(output, table, text, statistics_text(table, notes))


@app.command()
def confusion(
    scores: ExistingFiles,
    output: Stem,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Fuse the streams of one variant; confusion matrices of each fold and of all: STEM[_foldN].csv, .png, .pdf."""
    import numpy as np
    import pandas as pd

    from stp.figures import save_confusion
    from stp.files import complete_file
    from stp.predictions import input_name
    from stp.scores import FUSION_ORDER
    from stp.tables import fold_confusions

    shares = parse_weights(weights)
    runs = read_all_scores(scores, shares)
    variants = {run.variant for run in runs}
    if len(variants) != 1:
        raise UserError(f"confusion: give scores of one variant, not of {', '.join(sorted(variants))}")
    matrices = fold_confusions(runs, shares, space.value)
    streams = input_name([name for name in FUSION_ORDER if name in {run.modality for run in runs}])
    title, seeds = f"{streams}, {variants.pop()}", len({run.seed for run in runs})
    all_of = f"all folds and {seeds} seeds" if seeds > 1 else "all folds"
    of_seeds = f", {seeds} seeds pooled" if seeds > 1 else ""
    plates = {"": (np.sum(list(matrices.values()), axis=0), f"{title}, {all_of} pooled")}
    plates |= {f"_fold{fold}": (matrix, f"{title}, fold {fold}{of_seeds}") for fold, matrix in matrices.items()}
    classes = runs[0].classes
    for suffix, (counts, words) in plates.items():
        stem = output.with_name(f"{output.name}{suffix}")
        with complete_file(stem.with_name(f"{stem.name}.csv")) as temporary:
            pd.DataFrame(counts, index=pd.Index(classes, name="true"), columns=list(classes)).to_csv(temporary)
        save_confusion(stem, counts, classes, words)


@app.command()
def classes(
    scores: ExistingFiles,
    output: Stem,
    reported: Reported,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Accuracy of each class of the comparison's measured methods, as STEM.csv, .png and .pdf."""
    from stp.comparison import class_accuracies, read_reported
    from stp.figures import save_class_accuracies
    from stp.files import complete_file

    table = class_accuracies(read_reported(reported), predict_all(scores, weights, space))
    with complete_file(output.with_name(f"{output.name}.csv")) as temporary:
        table.to_csv(temporary, index=False)
    shares = {str(method): rows["accuracy"].to_numpy() for method, rows in table.groupby("method", sort=False)}
    first = table[table["method"] == table["method"].iloc[0]]
    save_class_accuracies(output, shares, list(first["class"]), first["clips"].to_numpy())


@app.command()
def curves(
    logs: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="log.csv of each fold and seed.")],
    output: Stem,
    title: Annotated[str, typer.Option(help="What was trained.")] = "",
) -> None:
    """Draw loss and training accuracies over epochs, as STEM.png and STEM.pdf."""
    from stp.figures import save_curves
    from stp.training_log import read_log

    save_curves(output, [read_log(path) for path in logs], title)


@app.command()
def paper(
    output: Output,
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="Tables (md) and figures (png).")
    ] = None,
    title: Annotated[str, typer.Option()] = "Tables and figures",
    config: Annotated[str, typer.Option(help="The config that made them, as JSON; it ends the page.")] = "",
) -> None:
    """Put tables and figures, in the order given, on one page that opens offline."""
    from stp.files import complete_file
    from stp.page import paper_page

    page = paper_page(files or [], title, json.loads(config) if config else None)
    with complete_file(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


@app.command()
def submission(
    scores: ExistingFiles,
    output: Output,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Space = Space.scores,
) -> None:
    """Fuse the streams' scores of hidden clips (score --set hidden) and write the five likeliest labels of each.

    The csv has a row a clip with numbers of actions and of coarser classes (body parts), which add up their actions'
    probabilities; numbers count in the order of the index.
    """
    from stp.files import complete_file
    from stp.submission import submission_table

    shares = parse_weights(weights)
    table = submission_table(read_all_scores(scores, shares, hidden=True), shares, space.value)
    with complete_file(output) as temporary:
        table.to_csv(temporary, index=False)


@app.command()
def explain(
    clips: Annotated[list[str], typer.Argument(help="Ids of the clips, as the index has them.")],
    runs: Annotated[
        list[Path], typer.Option("--run", exists=True, help="Folder of a trained run, or its model.pt; again for more.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: CLIP.png, CLIP.pdf, CLIP.mp4.")],
    target: Annotated[
        str, typer.Option("--class", help="Class to explain: own, the clip's; predicted, by each run; or a name.")
    ] = "own",
    segments: Annotated[int, typer.Option(min=1, help="Segments, spread evenly over the clip.")] = 3,
    crops: Annotated[int, typer.Option(help="1, 2, 5 or 10, of which the mean is taken.")] = 10,
    index_file: Annotated[
        Path | None, typer.Option("--index", exists=True, dir_okay=False, show_default="beside the runs")
    ] = None,
    shards: Annotated[
        list[Path] | None,
        typer.Option(
            "--clips", exists=True, help="Shards of frames and of the runs' fields.", show_default="beside the runs"
        ),
    ] = None,
    device: Device = "auto",
    gpu_share: GpuShare = 1,
    threads: Threads = 1,
) -> None:
    """Show where in clips trained runs see a class: guided Grad-CAM of every sub-segment, as figure and as video.

    Frames, flow and the index are found in the results folder in which the runs lie.

    Example:

        stp explain wave/1 --run results/runs/of/baseline/fold1/seed0 --run results/runs/of/3-level/fold1/seed0 -o out
    """
    import torch

    from stp.crops import TEST_CROPS
    from stp.devices import configure, reserved_device
    from stp.explain import chosen_clips, clip_fields, explained_runs, fields_by_modality, find_data
    from stp.explain import explain as explain_run
    from stp.explanation_figures import save_explanations
    from stp.index import read_index

    if crops not in TEST_CROPS:
        raise UserError(f"--crops: {crops} is none of {', '.join(map(str, TEST_CROPS))}")
    torch.set_num_threads(threads)
    models = [path / "model.pt" if path.is_dir() else path for path in runs]
    index_path, files = find_data(models, index_file, shards)
    table = read_index(index_path)
    chosen = chosen_clips(table, clips, str(index_path))
    explained = explained_runs(models, table, str(index_path))
    fields = fields_by_modality(files)
    with reserved_device(device, gpu_share) as where:
        configure(where)
        for name, clip in chosen.items():
            explanations = [
                explain_run(
                    each.run,
                    each.network,
                    clip_fields(fields, each.run.modality, clip.clip),
                    clip,
                    target,
                    segments,
                    crops,
                    where,
                )
                for each in explained
            ]
            frames = fields["rgb"][clip.clip][:].transpose(0, 2, 3, 1)
            notes = [each.note(clip.clip) for each in explained]
            parameters = {"clip": clip.clip, "segments": segments, "crops": crops}
            save_explanations(output / name, frames, explanations, notes, parameters)
            log.info("%s: %s", clip.clip, output / f"{name}.png")


@app.command()
def examples(
    index_file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="INDEX", help="The index.")],
    shards: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Shards of frames and of flow.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: CLIP.png, CLIP.pdf, CLIP.mp4.")],
    clips: Annotated[
        list[str] | None,
        typer.Option("--clip", help="Id of a clip, again for more.", show_default="the first of each class"),
    ] = None,
    number: Annotated[int, typer.Option(min=0, help="Clips to draw, where none is named.")] = 4,
) -> None:
    """Draw clips as they are stored: frames with flow and warped flow in colours, as figures and as videos."""
    from stp.example_figures import first_of_classes, save_example
    from stp.explain import chosen_clips, clip_fields, fields_by_modality
    from stp.index import read_index

    index = read_index(index_file)
    fields = fields_by_modality(shards)
    output.mkdir(parents=True, exist_ok=True)
    for name, clip in chosen_clips(index, clips or first_of_classes(index, number), str(index_file)).items():
        save_example(output / name, {kind: clip_fields(fields, kind, clip.clip) for kind in fields}, clip)
        log.info("%s: %s", clip.clip, output / f"{name}.png")


def main() -> None:
    """Run a subcommand; a user's mistake is one or two lines on standard error and exit status 1, no traceback."""
    try:
        app()
    except UserError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception:
        log.critical("unexpected error, please report it", exc_info=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
