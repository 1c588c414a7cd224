"""The check of a config before anything runs: all that is wrong or missing, and what a run will take."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median_high
from typing import TYPE_CHECKING, Any

from stp.config import Config, MethodEntry, from_values, is_flow, method_file
from stp.data.index import Clip, Index, check_first_person, check_ids, read_index
from stp.data.run_name import RunName
from stp.data.selection import check_named
from stp.data.splits import make_folds
from stp.datasets import find_clips
from stp.datasets.demo.movement import CLASSES
from stp.errors import UserError, noted
from stp.setup.draft import stored_bytes
from stp.system.machine import existing, free_disk, process_memory, size_words
from stp.video.decoding import UndecodableError, declared_frames

if TYPE_CHECKING:
    from stp.training.run import Run

LOOKED_AT = 100  # videos of a data set that are opened for their number of frames
FLOAT = 4  # bytes of a parameter
# Jobs that need something, by their kinds: for where it is not known which of them would run.
EVERYTHING = dict.fromkeys(("weights", "index", "frames", "flow", "train"), 1)


@dataclass
class Check:
    """The findings: problems and warnings, each on one line, and numbers; most clips have up to `frames` frames.

    Problems keep a run from starting, warnings do not. A number is 0 where a problem keeps it from being known.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    clips: int = 0
    frames: int = 0
    classes: int = 0
    runs: int = 0
    bytes: int = 0


def check(config: Config, jobs: Mapping[str, int], here: bool = True) -> Check:
    """Check what jobs need, by their kinds (`train`, `index`, `weights`, ...) and how many there are of each.

    `here` says that they run on this machine.
    """
    inputs = sum(len(entry.inputs) for entry in config.trained)
    found = Check(runs=inputs * config.splits.folds * len(config.training.seeds))
    parameters = _check_weights(config, found.problems) if "weights" in jobs else 0
    frames = _check_videos(config, found, jobs)
    if "train" in jobs and here:
        _check_machine(config, found.problems)
    if "train" in jobs:
        found.warnings += _long_segments(config, found.frames)
    if "flow" in jobs and here:
        from stp.flow import resolve_backend

        with noted(found.problems):
            resolve_backend(config.flow.backend, config.flow.semantics)
    found.bytes = _bytes_to_write(config, frames, parameters * jobs.get("train", 0), jobs)
    if found.bytes > (free := free_disk(Path(config.results))):
        found.problems.append(
            f"results: '{config.results}' needs {size_words(found.bytes)}, and {size_words(free)} are free in "
            f"'{existing(Path(config.results))}'; make room, name a folder on another disk, or set storage.format: jpeg"
        )
    return found


def _check_weights(config: Config, problems: list[str]) -> int:
    """Note what is wrong with methods and initial weights; the number of the backbone's parameters, 0 if unknown."""
    from stp.models.backbones import weights_report

    for name in config.variants:
        values = config.settings(name, config.modalities[0])
        with noted(problems):
            check_method({"name": name, "input": config.modalities[0], "settings": values})
    for entry in config.methods_to_check():
        with noted(problems):
            check_method(entry, prepared=True)
    model = config.model
    with noted(problems):
        report = weights_report(model.backbone, model.weights, model.width, model.input_size)
        return int(report["parameters"])
    return 0


def check_method(entry: Mapping[str, Any], prepared: bool = False) -> None:
    """Raise UserError unless a method and the features that it sees exist and accept their options.

    With `prepared`, also if what they start from is missing.
    """
    from stp import features, methods

    run = _first_run(entry["name"], entry["input"], entry["settings"])
    method = methods.find(run.kind)
    method.check(run)
    if prepared:
        method.prepare(run)
    for seen, values in entry.get("features", {}).items():
        kind_of_features = features.find(seen)
        options = from_values(kind_of_features.options, values, f"config: features.{seen}")
        if prepared:
            kind_of_features.prepare(options)


def _first_run(name: str, run_input: str, settings: Mapping[str, Any]) -> "Run":
    """The run of a method's first fold; UserError unless the method exists and accepts its options."""
    from stp import methods

    values = dict(settings)
    kind = values.pop("method", method_file(name))
    return methods.find(kind).run(RunName(run_input, name, fold=1), kind, ("class",), values)


def _long_segments(config: Config, frames: int) -> list[str]:
    """A line for each variant aligned-T-level whose segments end a sub-segment or more behind the end of most clips.

    Most clips have up to `frames` frames; 0 if that is not known. Up to one sub-segment more than a clip does no harm.
    """
    entries = [entry for entry in config.trained if entry.method == "aligned"] if frames else []
    lines = []
    for entry in entries:
        try:
            lines += [line for name in entry.inputs if (line := _long_segment(config, entry, name, frames))][:1]
        except UserError:  # one of the problems that are noted
            continue
    return lines


def _long_segment(config: Config, entry: MethodEntry, run_input: str, frames: int) -> str:
    """The line of an input of a variant; empty where its segments are not too long."""
    from stp.methods.aligned import sampler

    run = _first_run(entry.name, run_input, config.settings(entry.name, run_input))
    chosen, extra = sampler(run), run.options.extra_subsegments
    fields, kind = (frames - 1, "flow fields") if is_flow(run_input) else (frames, "frames")
    starts = chosen.subsegment_starts
    if not extra or starts[-1] < fields:
        return ""
    distance = starts[-1] / (len(starts) - 1)
    fitting = int((fields - 1) // distance) - (len(starts) - 1 - extra)
    section = f"methods.{entry.name}" if "extra_subsegments" in entry.options else "aligned"
    cure = f"give {fitting} or less" if fitting > 0 else f"train {entry.name.removeprefix('aligned-')} instead"
    return (
        f"{section}.extra_subsegments: {extra} makes segments of {chosen.segment_length} {kind} for {entry.name}, "
        f"where most clips have {fields} or fewer; the rest repeats the last: {cure}"
    )


def _check_videos(config: Config, found: Check, jobs: Collection[str]) -> int:
    """Note what is wrong with the videos that jobs need, and count clips and classes; the number of all frames."""
    if config.demo:
        found.classes, found.clips = len(CLASSES), len(CLASSES) * config.demo.clips_per_class
        found.frames = config.demo.frames
        return found.clips * found.frames
    index = Path(config.results, "index.csv")
    known: tuple[Clip, ...] = ()
    if index.is_file():
        with noted(found.problems):
            known = read_index(index).clips
    clips = list(known)
    if "index" in jobs:
        with noted(found.problems):
            clips = _clips(config)
            check_ids(clips)
            with noted(found.problems):
                _check_named(config, clips)
            with noted(found.problems):
                make_folds(Index(tuple(clips)), config.splits.scheme, config.splits.folds, config.splits.seed)
    if config.first_person and clips and ("index" in jobs or "first_person" in jobs):
        with noted(found.problems):
            check_first_person(clips, f"methods.{config.first_person[0]}")
    found.clips, found.classes = len(clips), len({clip.label for clip in clips} - {""})
    frames = {clip.clip: clip.frames for clip in known}
    unknown = [clip for clip in clips if clip.clip not in frames]
    seen = [frames[clip.clip] for clip in clips if clip.clip in frames]
    declared = _frames_of(unknown, config, found.problems)
    found.frames = median_high([*seen, *declared]) if seen or declared else 0
    return sum(seen) + (round(mean(declared) * len(unknown)) if declared else 0)


def _clips(config: Config) -> list[Clip]:
    """The clips on disk; UserError if they are not as the importer wants them."""
    dataset = config.dataset
    options = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in dataset.options.items()
    }
    return find_clips(dataset.importer, Path(dataset.path), Path(dataset.lists) if dataset.lists else None, options)


def _check_named(config: Config, clips: Sequence[Clip]) -> None:
    """Raise UserError if the config names clips or a class that are not there."""
    named = {"explain.clips": config.explain.clips, "examples.clips": config.examples.clips}
    check_named(named | ({"explain.class": [config.explain.target]} if config.explain.clips else {}), clips)


def _frames_of(clips: Sequence[Clip], config: Config, problems: list[str]) -> list[int]:
    """The numbers of frames that the containers of some of the clips declare; note those that do not open."""
    chosen = clips[:: max(1, len(clips) // LOOKED_AT)][:LOOKED_AT]
    counts, bad = [], []
    fps = None if config.frames.fps == "native" else config.frames.fps
    for clip in chosen:
        try:
            counts.append(declared_frames(clip.path, fps, clip.part))
        except UndecodableError as error:
            bad.append(f"'{clip.path}' {error}")
    if bad and config.on_bad_video == "error":
        problems.append(
            f"dataset.path: {len(bad)} of {len(chosen)} videos looked at do not open, as {bad[0]}; fix or remove them, "
            "or set on_bad_video: skip"
        )
    return counts


def _check_machine(config: Config, problems: list[str]) -> None:
    """Note a device that is not there, and jobs that this machine's memory cannot hold."""
    from stp.system.devices import select_device

    with noted(problems):
        select_device(config.compute.device)
    total = process_memory().total
    if (job := config.compute.mem_mb * 10**6) > total:
        problems.append(
            f"compute.mem_mb: a training takes {size_words(job)} by the config, and this machine has "
            f"{size_words(total)}; lower training.batch_videos or model.input_size and then compute.mem_mb, or take a "
            "larger machine"
        )


def _bytes_to_write(config: Config, frames: int, parameters: int, jobs: Collection[str]) -> int:
    """The bytes of frames, flow and models that are not there yet, of the kinds of jobs that write them."""
    clips = Path(config.results, "clips")
    flows = [name for name in ("of", "wof") if name in config.modalities]
    size = (config.frames.width, config.frames.height)
    of_frames, of_flow = stored_bytes(frames, size, config.storage.format)
    wanted = {"rgb": of_frames} if "frames" in jobs else {}
    wanted |= {"first": of_frames} if "frames_first" in jobs else {}  # as long as the clips, or nearly so
    wanted |= dict.fromkeys(flows, of_flow) if "flow" in jobs else {}
    there = {name: sum(path.stat().st_size for path in clips.glob(f"{name}/*.h5")) for name in wanted}
    return sum(max(0, size - there[name]) for name, size in wanted.items()) + FLOAT * parameters
