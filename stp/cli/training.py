"""Initial weights, features, training and scoring of runs."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stp.cli.app import app
from stp.cli.options import (
    Device,
    ExistingFile,
    ExistingFiles,
    GpuShare,
    MemoryShare,
    Output,
    Resident,
    Threads,
    check_crops,
    parse_json,
)
from stp.config import Compute as ComputeSection
from stp.config import Model, Training, Views, method_file
from stp.errors import UserError, noted

if TYPE_CHECKING:
    from stp.data.index import Clip, Index
    from stp.data.shards import ClipFields

log = logging.getLogger("stp")

RunInput = Annotated[
    str | None,
    typer.Option("--input", help="Modality, or several joined by +.", show_default="that of the clips given"),
]


@app.command()
def weights(
    output: Output,
    backbone: Annotated[str, typer.Option(help="bninception, convnet, torchvision/NAME or the name of a timm model.")],
    weights: Annotated[
        str, typer.Option(help="Of the backbone: none, imagenet or the path of a state dict.")
    ] = Model.weights,
    width: Annotated[float, typer.Option(min=0.001, help="Multiplier of the number of channels.")] = Model.width,
    input_size: Annotated[int, typer.Option(min=1, help="Side of the network's input in pixels.")] = Model.input_size,
    settings: Annotated[str, typer.Option(help="Settings of the pyramids to check, as JSON.")] = "{}",
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help="A pyramid to check with them; repeat for more.")
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Other methods to check, as JSON: [{name, input, settings, features}, ...].")
    ] = "[]",
    needed: Annotated[
        str, typer.Option(help="Files and folders that a config names, which must be there: JSON, by their keys.")
    ] = "{}",
) -> None:
    """Check that backbone, initial weights, input size and methods fit together, and write a report on the weights.

    All that is missing is reported at once.
    """
    from stp.models.backbones import weights_report
    from stp.setup.check import check_method
    from stp.system.files import complete_file

    pyramids = [
        {"name": name, "input": "rgb", "settings": parse_json(settings, "--settings")} for name in variants or ()
    ]
    problems: list[str] = []
    for entry in pyramids:
        with noted(problems):
            check_method(entry)
    for entry in parse_json(methods, "--methods"):
        with noted(problems):
            check_method(entry, prepared=True)
    with noted(problems):
        report = weights_report(backbone, weights, width, input_size)
    for name, path in parse_json(needed, "--needed").items():
        if not Path(path).exists():
            problems.append(f"{name}: '{path}' does not exist; put the videos there, or name where they are")
    if problems:
        raise UserError("\n  ".join(problems))
    with complete_file(output) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def read_fields(paths: list[Path], run_input: str | None) -> "tuple[str, dict[str, ClipFields]]":
    """The input, and the stored fields or features of each of its modalities, in the order of the input.

    Features, stored as `KIND-MODALITY`, are listed under MODALITY.
    """
    from stp.data.selection import fields_by_modality

    found = {name.rpartition("-")[2]: fields for name, fields in fields_by_modality(paths).items()}
    run_input = run_input or "+".join(found)
    if sorted(run_input.split("+")) != sorted(found):
        raise UserError(f"--input: '{run_input}' is given with clips of {', '.join(found)}; they must agree")
    return run_input, {name: found[name] for name in run_input.split("+")}


def chosen_clips(index: "Index", fold_file: Path, word: str) -> "list[Clip]":
    """The clips that a fold uses for `word`: train, test or hidden."""
    from stp.data.splits import read_fold

    return [clip for clip, use in zip(index.clips, read_fold(fold_file, index), strict=True) if use == word]


@app.command()
def features(
    kind: Annotated[str, typer.Argument(help="Kind of features: a file in stp/features.")],
    clips: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="A shard of each modality they are made from.")
    ],
    output: Output,
    settings: Annotated[str, typer.Option(help="Options of these features, as JSON.")] = "{}",
    device: Device = ComputeSection.device,
    resident: Resident = ComputeSection.resident,
    memory_share: MemoryShare = ComputeSection.memory_share,
    gpu_share: GpuShare = ComputeSection.gpu_share,
    threads: Threads = 1,
) -> None:
    """Compute features of each clip of a shard, once for all folds, and store them as an additional modality."""
    from dataclasses import asdict

    import numpy as np
    import torch

    from stp import features as kinds
    from stp.config import from_values
    from stp.data.selection import fields_by_modality
    from stp.data.shards import write_shard
    from stp.system.devices import Compute, configure, reserved_device
    from stp.system.machine import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)
    found, sources = kinds.find(kind), fields_by_modality(clips)
    options = from_values(found.options, parse_json(settings, "--settings"), f"options of features '{kind}'")
    name, made_from = kinds.stored_as(kind, sources)
    parameters = {"features": kind, "options": asdict(options), "fields": made_from}
    with reserved_device(device, gpu_share) as where:
        configure(where)
        compute = Compute(where, resident, memory_share)
        with write_shard(output, name, parameters) as shard:
            for clip, values in found.extract(options, sources, compute):
                if not np.isfinite(values).all():
                    raise UserError(f"features '{kind}' of clip '{clip}' are NaN or infinite; choose other weights")
                shard.store(clip, values)


@app.command()
def train(
    index_file: ExistingFile,
    fold_file: ExistingFile,
    clips: ExistingFiles,
    output: Output,
    log_csv: Annotated[Path, typer.Option(help="csv file to write: loss, accuracy, ... of each epoch.")],
    variant: Annotated[str, typer.Option(help="Name of the method: baseline, T-level, or another.")] = "3-level",
    run_input: RunInput = None,
    fold: Annotated[int, typer.Option(min=1)] = 1,
    settings: Annotated[
        str,
        typer.Option(help="Options of the method as JSON; the key method gives its file if not --variant."),
    ] = "{}",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    state: Annotated[
        Path | None, typer.Option(help="Folder for this run alone: keeps its state until it is complete.")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Minutes between saves of the state; it is also saved when epochs end.")
    ] = Training.checkpoint_minutes,
    tensorboard: Annotated[str, typer.Option(help="Folder to write: the run's curves; empty for none.")] = "",
    device: Device = ComputeSection.device,
    resident: Resident = ComputeSection.resident,
    memory_share: MemoryShare = ComputeSection.memory_share,
    micro_batch_videos: Annotated[
        int, typer.Option(min=0, help="Videos of a mini-batch in memory at once, for small GPUs; 0 means all.")
    ] = ComputeSection.micro_batch_videos,
    compilation: Annotated[
        Literal["auto", "always", "never"],
        typer.Option("--compile", help="Compile the network; auto: for long trainings on GPUs."),
    ] = ComputeSection.compile,
    gpu_share: GpuShare = ComputeSection.gpu_share,
    threads: Threads = 1,
) -> None:
    """Train one run: a method on an input and a fold, from a seed.

    With --state, a killed training continues where it was when the same command is run again. SIGTERM, SIGUSR1 and
    Ctrl-C stop it after the current batch and save its state; the exit status is then 75, which means: try again.
    """
    import torch

    from stp import methods
    from stp.data.index import read_index
    from stp.data.run_name import RunName
    from stp.system.devices import Compute, reserved_device
    from stp.system.machine import keep_freed_memory
    from stp.system.signals import EXIT_STATUS, Stopped, StopRequest
    from stp.training.checkpoints import Checkpoints, training_definition
    from stp.training.model_file import TrainedOn
    from stp.training.session import Session

    keep_freed_memory()
    torch.set_num_threads(threads)
    table = read_index(index_file)
    named_input, fields = read_fields(clips, run_input)
    chosen = chosen_clips(table, fold_file, "train")
    if not chosen:
        raise UserError(f"{fold_file}: has no train clip")
    values = parse_json(settings, "--settings")
    kind = values.pop("method", method_file(variant))
    found = methods.find(kind)
    run = found.run(RunName(named_input, variant, fold, seed), kind, table.classes, values)
    found.check(run)
    checkpoints = None
    with reserved_device(device, gpu_share) as where:
        if state:
            definition = training_definition(run, chosen, fields, clips, where)
            checkpoints = Checkpoints(state, definition, checkpoint_minutes)
        compute = Compute(where, resident, memory_share, micro_batch_videos, compilation)
        try:
            with StopRequest() as stop:
                session = Session(log_csv, checkpoints, stop, Path(tensorboard) if tensorboard else None)
                recogniser = found.fit(methods.Task(run, chosen, fields, compute, session))
                made = {modality: stored.parameters for modality, stored in fields.items()}
                recogniser.save(output, TrainedOn([clip.clip for clip in chosen], made))
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
        Literal["test", "hidden"],
        typer.Option("--set", help="Score the fold's test clips, or those with hidden labels."),
    ] = "test",
    segments: Annotated[int, typer.Option(min=1)] = Views.segments,
    crops: Annotated[int, typer.Option(help="1, 2, 5 or 10.")] = Views.crops,
    device: Device = ComputeSection.device,
    resident: Resident = ComputeSection.resident,
    memory_share: MemoryShare = ComputeSection.memory_share,
    gpu_share: GpuShare = ComputeSection.gpu_share,
    threads: Threads = 1,
) -> None:
    """Score a fold's test clips, or those with hidden labels, with its trained run."""
    import numpy as np
    import torch

    from stp import methods
    from stp.data.index import read_index
    from stp.evaluation.scores import Scores, write_scores
    from stp.system.devices import Compute, configure, full_memory_named, reserved_device
    from stp.system.machine import keep_freed_memory

    check_crops(crops)
    keep_freed_memory()
    torch.set_num_threads(threads)
    recogniser, file = methods.load(model)
    run, table = recogniser.run, read_index(index_file)
    _, fields = read_fields(clips, run.name.input)
    if table.classes != run.classes:
        raise UserError(f"{model}: trained on classes {', '.join(run.classes)}, not on those of {index_file}")
    chosen = chosen_clips(table, fold_file, scored)
    if not chosen:
        raise UserError(f"{fold_file}: has no {scored} clip to score")
    if trained := file.clips() & {clip.clip for clip in chosen}:
        raise UserError(
            f"{model}: trained on {len(trained)} of the clips to score, such as '{min(trained)}'; give its own fold"
        )
    keys = "model.input_size or compute.memory_share, or take another compute.device"
    names = tuple(clip.clip for clip in chosen)
    with reserved_device(device, gpu_share) as where, full_memory_named(str(run.name), keys):
        configure(where, getattr(run.options, "deterministic", False))
        values = recogniser.scores(names, fields, Views(segments, crops), Compute(where, resident, memory_share))
    number = {name: i for i, name in enumerate(run.classes)}
    labels = np.array([number[clip.label] if clip.label else -1 for clip in chosen], dtype=np.int64)
    scores = Scores(run.name, run.classes, names, labels, values, table.coarse)
    write_scores(output, scores, {"segments": segments, "crops": crops})


@app.command()
def runs(
    results: Annotated[Path, typer.Argument(help="The config's results folder.")] = Path("results"),
) -> None:
    """List the runs of a results folder: done, training or interrupted, with epoch, loss, accuracies and time left.

    A flag names runs that are at chance or blind to some classes, whose loss has risen, or whose loss still fell when
    they ended.
    """
    from stp.training.status import run_statuses, run_table

    statuses = run_statuses(results)
    print(run_table(statuses, results) if statuses else f"no runs in {results}")
