"""Pictures of clips: where runs see a class, and clips as they are stored."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from stp.cli.app import app
from stp.cli.options import Device, GpuShare, Threads, check_crops
from stp.config import Compute, Examples, Explain, Views

log = logging.getLogger("stp")


@app.command()
def explain(
    clips: Annotated[list[str], typer.Argument(help="Ids of the clips, as in the index.")],
    runs: Annotated[
        list[Path],
        typer.Option("--run", exists=True, help="Folder of a trained run, or its model.pt; repeat for more."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: CLIP.png, CLIP.pdf, CLIP.mp4.")],
    target: Annotated[
        str, typer.Option("--class", help="Class to explain: own (the clip's), predicted (by each run) or a name.")
    ] = Explain.target,
    segments: Annotated[int, typer.Option(min=1, help="Segments, spread evenly over the clip.")] = Explain.segments,
    crops: Annotated[int, typer.Option(help="Number of crops to average over: 1, 2, 5 or 10.")] = Views.crops,
    index_file: Annotated[
        Path | None, typer.Option("--index", exists=True, dir_okay=False, show_default="beside the runs")
    ] = None,
    shards: Annotated[
        list[Path] | None,
        typer.Option(
            "--clips", exists=True, help="Shards of frames and of the runs' fields.", show_default="beside the runs"
        ),
    ] = None,
    device: Device = Compute.device,
    gpu_share: GpuShare = Compute.gpu_share,
    threads: Threads = 1,
) -> None:
    """Show where in clips trained runs see a class: guided Grad-CAM of every sub-segment, as a figure and as a video.

    Frames, flow and the index are found in the results folder that contains the runs.

    Example:

        stp explain wave/1 --run results/runs/of/baseline/fold1/seed0 --run results/runs/of/3-level/fold1/seed0 -o out
    """
    import torch

    from stp.data.index import read_index
    from stp.data.selection import chosen_clips, clip_fields, fields_by_modality
    from stp.explain.explanation import explain as explain_run
    from stp.explain.explanation import explained_runs, find_data
    from stp.figures.explanations import save_explanations
    from stp.system.devices import configure, reserved_device

    check_crops(crops)
    torch.set_num_threads(threads)
    models = [path / "model.pt" if path.is_dir() else path for path in runs]
    index_path, files = find_data(models, index_file, shards)
    table = read_index(index_path)
    chosen = chosen_clips(table, clips, str(index_path))
    explained = explained_runs(models, table, str(index_path))
    fields, views = fields_by_modality(files), Views(segments, crops)
    with reserved_device(device, gpu_share) as where:
        configure(where, shapes_repeat=False)
        for name, clip in chosen.items():
            explanations = [
                explain_run(each, clip_fields(fields, each.run.name.input, clip.clip), clip, target, views, where)
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
        typer.Option("--clip", help="Id of a clip; repeat for more.", show_default="the first of some classes"),
    ] = None,
    number: Annotated[int, typer.Option(min=0, help="Number of clips to draw if none is named.")] = Examples.number,
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
