"""Initial weights, training and scoring of runs."""

import json
import logging
from pathlib import Path
from typing import Annotated, Literal

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
    parse_settings,
)
from stp.errors import UserError

log = logging.getLogger("stp")


@app.command()
def weights(
    output: Output,
    backbone: Annotated[str, typer.Option(help="bninception, convnet, torchvision/NAME or a name of timm's.")],
    weights: Annotated[str, typer.Option(help="none, imagenet or the path of a state dict.")] = "imagenet",
    width: Annotated[float, typer.Option(min=0.001, help="Multiplier of the channels.")] = 1.0,
    input_size: Annotated[int, typer.Option(min=1, help="Side of the network's input in pixels.")] = 224,
    settings: Annotated[str, typer.Option(help="Settings of trainings to check, too, as JSON.")] = "{}",
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help="A variant that they are to train, again for more.")
    ] = None,
) -> None:
    """Check that backbone, initial weights, input size and pyramid fit, and write a report of the weights."""
    from stp.models.backbones import weights_report
    from stp.system.files import complete_file

    for name in variants or ():
        parse_settings(settings).variant(name)
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
    resident: Resident = "auto",
    memory_share: MemoryShare = 0.6,
    micro_batch_videos: Annotated[
        int, typer.Option(min=0, help="Videos of a mini-batch held in memory at once, for small GPUs; 0 is all.")
    ] = 0,
    compilation: Annotated[
        Literal["auto", "always", "never"],
        typer.Option("--compile", help="Compile the network: auto, on GPUs in long trainings."),
    ] = "auto",
    gpu_share: GpuShare = 1,
    threads: Threads = 1,
) -> None:
    """Train one run: a modality (that of the clips given), a variant, a fold and a seed.

    With --state, a training that was killed goes on where it was when it is called again with the same arguments.
    SIGTERM, SIGUSR1 and Ctrl-C stop it after the batch under way, its state kept; the exit status is then 75, which
    means: try again.
    """
    import torch

    from stp.data.index import read_index
    from stp.data.shards import ClipFields
    from stp.data.splits import read_fold
    from stp.system.devices import reserved_device
    from stp.system.machine import keep_freed_memory
    from stp.system.signals import EXIT_STATUS, Stopped, StopRequest
    from stp.training.checkpoints import Checkpoints, training_definition
    from stp.training.loop import train as train_run
    from stp.training.run import Run, save_run

    keep_freed_memory()
    torch.set_num_threads(threads)
    table, fields = read_index(index_file), ClipFields(clips)
    chosen = [c for c, word in zip(table.clips, read_fold(fold_file, table), strict=True) if word == "train"]
    if not chosen:
        raise UserError(f"{fold_file}: no clip trains")
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
                    resident,
                    memory_share,
                    micro_batch_videos,
                    compilation,
                )
                save_run(output, run, network, [clip.clip for clip in chosen], fields.parameters)
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
        Literal["test", "hidden"], typer.Option("--set", help="The fold's test clips or those whose label is hidden.")
    ] = "test",
    segments: Annotated[int, typer.Option(min=1)] = 25,
    crops: Annotated[int, typer.Option(help="1, 2, 5 or 10.")] = 10,
    device: Device = "auto",
    resident: Resident = "auto",
    memory_share: MemoryShare = 0.6,
    gpu_share: GpuShare = 1,
    threads: Threads = 1,
) -> None:
    """Score a fold's test clips, or those whose labels are hidden, by its trained run."""
    from dataclasses import replace

    import torch

    from stp.data.index import read_index
    from stp.data.shards import ClipFields
    from stp.data.splits import read_fold
    from stp.evaluation.scores import write_scores
    from stp.system.devices import configure, full_memory_named, reserved_device
    from stp.system.machine import keep_freed_memory
    from stp.training.run import load_run, training_clips
    from stp.training.scoring import score as score_run

    check_crops(crops)
    keep_freed_memory()
    torch.set_num_threads(threads)
    run, network = load_run(model)
    table, fields = read_index(index_file), ClipFields(clips)
    if (fields.modality, table.classes) != (run.modality, run.classes):
        raise UserError(
            f"{model}: trained on {run.modality} and classes {', '.join(run.classes)}, not on what is given"
        )
    chosen = [c for c, word in zip(table.clips, read_fold(fold_file, table), strict=True) if word == scored]
    if not chosen:
        raise UserError(f"{fold_file}: has no {scored} clip to score")
    if trained := training_clips(model) & {clip.clip for clip in chosen}:
        raise UserError(
            f"{model}: trained on {len(trained)} of the clips to score, as '{min(trained)}'; give its own fold"
        )
    keys = "model.input_size or compute.memory_share, or take another compute.device"
    with reserved_device(device, gpu_share) as where, full_memory_named(run.name, keys):
        configure(where, run.settings.deterministic)
        scores = score_run(run, network, fields, chosen, segments, crops, where, resident, memory_share)
    write_scores(output, replace(scores, coarse=table.coarse), {"segments": segments, "crops": crops})


@app.command()
def runs(
    results: Annotated[Path, typer.Argument(help="The config's results folder.")] = Path("results"),
) -> None:
    """List the runs of a results folder: done, training or interrupted, with epoch, loss, accuracy and time left."""
    from stp.training.status import run_statuses, run_table

    statuses = run_statuses(results)
    print(run_table(statuses) if statuses else f"no runs in {results}")
