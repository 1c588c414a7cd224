"""For people rather than for the pipeline: a first config, what a machine offers, predictions, explanations, export."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from stp.cli.app import app
from stp.cli.options import (
    Device,
    GpuShare,
    Output,
    Space,
    Threads,
    Weights,
    check_crops,
    check_new,
    parse_threads,
    parse_weights,
)
from stp.errors import UserError

log = logging.getLogger("stp")


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

    from stp.models.backbones import bninception_path
    from stp.setup.draft import Resources, command, config_text, draft, frame_size
    from stp.setup.survey import motion, survey_folder, survey_text
    from stp.system.files import complete_file
    from stp.system.machine import free_disk, process_memory, processors

    config = output or Path(f"{folder.resolve().name}.yaml")
    if config.exists():
        raise UserError(f"--output: '{config}' exists and is left as it is; name another file with -o")
    results = Path("results/own") / config.stem  # two folders of one name have two configs
    if folder.resolve() in results.resolve().parents:
        raise UserError(f"FOLDER: '{folder}' would hold its own results, '{results}'; call stp init from outside of it")
    survey = survey_folder(folder, processors())
    print(survey_text(survey))
    gpu = torch.cuda.is_available()
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
    from stp.setup.doctor import can_run, examine_machine, report

    findings = examine_machine(results)
    print(report(findings))
    if not can_run(findings):
        raise typer.Exit(1)


@app.command()
def predict(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos of any size and length.")],
    run: Annotated[
        list[Path],
        typer.Option(
            help="Trained run: its folder or model.pt, or a folder of runs, as results/runs/of/3-level: folds and "
            "seeds of a stream are averaged. May be given several times; several streams are fused."
        ),
    ],
    fuse: Annotated[
        bool,
        typer.Option("--fuse", help="With each run also the other streams of its variant, fold and seed beside it."),
    ] = False,
    weights: Weights = "rgb=1,of=1.5,wof=1",
    space: Annotated[
        Space, typer.Option(help="What is averaged over runs and streams: scores before softmax, or probabilities.")
    ] = "scores",
    segments: Annotated[int, typer.Option(min=1, help="Segments of a video, or of a window.")] = 25,
    crops: Annotated[int, typer.Option(help="1, 2, 5 or 10; fewer are faster.")] = 10,
    window: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="Predict windows of so long over time, not the whole video."),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="From a window to the next.", show_default="half a window"),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="csv of all classes' probabilities, to write; a row a video or window.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="The same as JSON, with runs, parameters and versions, to write.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="PNG of probabilities over time, to write; with --window.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="mp4 of the video with its classes drawn on it, to write; of one VIDEO.")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Of TV-L1, as of stp flow; another one differs by rounding.", show_default="the training's"),
    ] = None,
    device: Device = "auto",
    gpu_share: GpuShare = 1,
    threads: Annotated[str, typer.Option(metavar="N", help="Processor threads: all or a number.")] = "all",
) -> None:
    """Predict the classes of videos by trained runs.

    Videos are decoded, their flow computed and scored as the clips of the runs' data set were. Frames and flow lie in a
    temporary folder meanwhile (environment variable TMPDIR). Videos that cannot be used are named, the others go on,
    and the exit status is then 1. No file is overwritten.

    Examples:

        stp predict clip.avi --run results/runs/of/3-level/fold1/seed0
        stp predict *.avi --run results/runs/of/3-level --fuse --csv predictions.csv
        stp predict long.mp4 --run results/runs/of/3-level --window 2 --stride 0.5 --figure long.png --overlay out.mp4
    """
    import torch

    from stp.predict.ensemble import find_models, load_ensemble
    from stp.predict.reports import MOST_TIMELINES, report, save_figure, top_table, write_csv, write_json
    from stp.predict.videos import predict_videos
    from stp.system.devices import reserved_device, use
    from stp.system.machine import keep_freed_memory

    check_crops(crops)
    check_new({"--csv": csv_file, "--json": json_file, "--figure": figure, "--overlay": overlay})
    if window is None and (stride or figure):
        raise UserError(f"{'--stride' if stride else '--figure'}: is of windows over time; give --window SECONDS, too")
    if figure and len(videos) > MOST_TIMELINES:
        raise UserError(f"--figure: draws {MOST_TIMELINES} videos at most, not {len(videos)}; call it for some of them")
    if overlay and len(videos) > 1:
        raise UserError(f"--overlay: draws on one video, but {len(videos)} are given; call once for each")
    keep_freed_memory()
    workers = parse_threads(threads)
    torch.set_num_threads(workers)
    models = find_models(run, fuse)
    with reserved_device(device, gpu_share) as where:
        use(where)  # for flow, too
        ensemble = load_ensemble(models, parse_weights(weights), space, segments, crops, where, backend)
        good, bad = predict_videos(ensemble, videos, where, window, stride, workers)
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
        raise UserError(f"{len(bad)} of {len(videos)} videos cannot be used and were skipped; the reasons are above")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Trained run: its folder or model.pt.")],
    output: Output,
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX, the one format there is.")] = False,
) -> None:
    """Write a trained run's network for other programs: the images of segments in, scores out.

    Input `images`: float32 (segments, sub-segments, channels, height, width), values 0..255 as stored. Output `scores`:
    float32 (segments, classes), before softmax. The file tells its classes and how its input is made, and is written
    only if onnxruntime gives torch's scores to 1e-4 of their size.
    """
    from stp.predict.ensemble import find_models
    from stp.predict.onnx_export import export_onnx

    if not onnx:
        raise UserError("export: name the format, --onnx")
    check_new({"--output": output})
    models = find_models([run])
    if len(models) > 1:
        raise UserError(f"export: '{run}' holds {len(models)} runs; name one, as {models[0].parent}")
    error = export_onnx(models[0], output)
    log.info("%s: onnxruntime's scores differ from torch's by %.1e of their size", output, error)


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

    from stp.data.index import read_index
    from stp.data.selection import chosen_clips, clip_fields, fields_by_modality
    from stp.explain.explanation import explain as explain_run
    from stp.explain.explanation import explained_runs, find_data
    from stp.figures.explanations import save_explanations
    from stp.sampling.samples import Views
    from stp.system.devices import configure, reserved_device

    check_crops(crops)
    torch.set_num_threads(threads)
    models = [path / "model.pt" if path.is_dir() else path for path in runs]
    index_path, files = find_data(models, index_file, shards)
    table = read_index(index_path)
    chosen = chosen_clips(table, clips, str(index_path))
    explained = explained_runs(models, table, str(index_path))
    fields = fields_by_modality(files)
    with reserved_device(device, gpu_share) as where:
        configure(where, shapes_repeat=False)
        for name, clip in chosen.items():
            explanations = [
                explain_run(
                    each.run,
                    each.network,
                    clip_fields(fields, each.run.modality, clip.clip),
                    clip,
                    target,
                    Views(segments, crops),
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
        typer.Option("--clip", help="Id of a clip, again for more.", show_default="the first of some classes"),
    ] = None,
    number: Annotated[int, typer.Option(min=0, help="Clips to draw, where none is named.")] = 4,
) -> None:
    """Draw clips as they are stored: frames with flow and warped flow in colours, as figures and as videos."""
    from stp.data.index import read_index
    from stp.data.selection import chosen_clips, clip_fields, fields_by_modality
    from stp.figures.clips import first_of_classes, save_example

    index = read_index(index_file)
    fields = fields_by_modality(shards)
    chosen = chosen_clips(index, clips or first_of_classes(index, number), str(index_file))
    output.mkdir(parents=True, exist_ok=True)
    for name, clip in chosen.items():
        save_example(output / name, {kind: clip_fields(fields, kind, clip.clip) for kind in fields}, clip)
        log.info("%s: %s", clip.clip, output / f"{name}.png")
