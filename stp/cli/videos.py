"""Trained runs on other videos and in other programs: predictions and export."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from stp.cli.app import app
from stp.cli.options import (
    WEIGHTS,
    Device,
    GpuShare,
    Output,
    Space,
    check_crops,
    check_new,
    parse_fusion,
    parse_threads,
)
from stp.config import Compute, Fusion, Views
from stp.errors import UserError

log = logging.getLogger("stp")


@app.command()
def predict(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO...", help="Videos of any size and length, or folders of them.")
    ],
    run: Annotated[
        list[Path],
        typer.Option(
            help="Trained run: its folder or model.pt, or a folder of runs, such as results/runs/of/3-level: folds and "
            "seeds of a stream are averaged. Repeat for more runs; several streams are fused."
        ),
    ],
    fuse: Annotated[
        bool,
        typer.Option("--fuse", help="Also use the other streams of each run's variant, fold and seed beside it."),
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            help=f"Weight of each stream, such as {WEIGHTS}.", show_default=f"those of the method, or {WEIGHTS}"
        ),
    ] = None,
    space: Space = Fusion.space,
    segments: Annotated[int, typer.Option(min=1, help="Segments of a video, or of a window.")] = Views.segments,
    crops: Annotated[int, typer.Option(help="1, 2, 5 or 10; fewer are faster.")] = Views.crops,
    window: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="SECONDS", help="Predict windows of this length over time, not the whole video."
        ),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="From one window to the next.", show_default="half a window"),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="csv file to write: all probabilities, one row per video or window.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="JSON file to write: the same with runs, parameters and versions.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="PNG file to write: probabilities over time; needs --window.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="mp4 file to write: the one VIDEO with its classes drawn on it.")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="TV-L1 backend, as in stp flow; others differ by rounding.", show_default="the training's"),
    ] = None,
    device: Device = Compute.device,
    gpu_share: GpuShare = Compute.gpu_share,
    threads: Annotated[str, typer.Option(metavar="N", help="Processor threads: all or a number.")] = "all",
) -> None:
    """Predict the classes of videos with trained runs.

    Of a folder, all videos below it are taken. Videos are decoded, their flow is computed, and they are scored, all as
    for the clips of the runs' data set. Frames and flow are kept in a temporary folder meanwhile (environment variable
    TMPDIR). Videos that cannot be used are reported and skipped, and the exit status is then 1. No file is overwritten.

    Examples:

        stp predict clip.avi --run results/runs/of/3-level/fold1/seed0
        stp predict FOLDER --run results/runs/of/3-level/fold1/seed0
        stp predict *.avi --run results/runs/of/3-level --fuse --csv predictions.csv
        stp predict long.mp4 --run results/runs/of/3-level --window 2 --stride 0.5 --figure long.png --overlay out.mp4
    """
    import torch

    from stp.predict.ensemble import find_models, load_ensemble
    from stp.predict.reports import MOST_TIMELINES, report, save_figure, top_table, write_csv, write_json
    from stp.predict.videos import find_videos, predict_videos
    from stp.system.devices import reserved_device, use
    from stp.system.machine import keep_freed_memory

    check_crops(crops)
    check_new({"--csv": csv_file, "--json": json_file, "--figure": figure, "--overlay": overlay})
    found, empty = find_videos(videos)
    for folder in empty:
        log.warning("skipped %s", folder)
    if window is None and (stride or figure):
        raise UserError(f"{'--stride' if stride else '--figure'}: needs windows over time; give --window SECONDS, too")
    if figure and len(found) > MOST_TIMELINES:
        raise UserError(f"--figure: draws {MOST_TIMELINES} videos at most, not {len(found)}; give fewer")
    if overlay and overlay.suffix != ".mp4":
        raise UserError(f"--overlay: '{overlay}' is no mp4 file; end the name in .mp4")
    if overlay and len(found) > 1:
        raise UserError(f"--overlay: draws on one video, but {len(found)} are given; call once for each")
    if not found:
        raise UserError(f"VIDEO: there is no video in {', '.join(str(folder.clip.path) for folder in empty)}")
    keep_freed_memory()
    workers = parse_threads(threads)
    torch.set_num_threads(workers)
    models = find_models(run, fuse)
    fusion = Fusion(space) if weights is None else parse_fusion(weights, space)
    with reserved_device(device, gpu_share) as where:
        use(where)  # for flow, too
        ensemble = load_ensemble(models, fusion, Views(segments, crops), where, backend)
        good, bad = predict_videos(ensemble, found, where, window, stride, workers)
    bad = empty + bad
    if good:
        print(top_table(good, ensemble.classes))
    if csv_file:
        write_csv(csv_file, good, ensemble.classes)
    if json_file:
        write_json(json_file, report(ensemble, good, bad, {"window": window, "stride": stride}))
    if figure and good:
        save_figure(figure, good, ensemble.classes)
    if overlay and good:
        from stp.predict.overlay import write_overlay

        write_overlay(overlay, good[0], ensemble.classes)
    if bad:
        raise UserError(
            f"{len(bad)} of {len(good) + len(bad)} videos cannot be used and were skipped; the reasons are above"
        )


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Trained run: its folder or model.pt.")],
    output: Output,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX, the only format so far.")] = False,
) -> None:
    """Write a trained run's network for other programs: the images of segments in, scores out.

    Input `images`: float32 (segments, sub-segments, channels, height, width), values 0..255 as stored. Output `scores`:
    float32 (segments, classes), before softmax. The file states its classes and how its input is made. It is written
    only if onnxruntime gives the same scores as torch to 1e-4 of their size.
    """
    from stp.predict.ensemble import find_models
    from stp.predict.onnx_export import export_onnx

    if not onnx:
        raise UserError("export: name the format, --onnx")
    check_new({"--output": output})
    models = find_models([run])
    if len(models) > 1:
        raise UserError(f"export: '{run}' holds {len(models)} runs; name one, such as {models[0].parent}")
    error = export_onnx(models[0], output)
    log.info("%s: onnxruntime's scores differ from torch's by %.1e of their size", output, error)
