"""Pictures of clips: where runs see a class, and clips as they are stored."""

import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from stp.cli.app import app
from stp.cli.options import Device, GpuShare, Stem, Threads, check_crops
from stp.config import Compute, Examples, Explain, Views
from stp.errors import UserError

if TYPE_CHECKING:
    from stp.data.index import Clip, Index
    from stp.data.shards import ClipFields

log = logging.getLogger("stp")


@app.command()
def explain(
    clips: Annotated[
        list[str], typer.Argument(metavar="CLIP...", help="Ids of clips, as in the index, or video files.")
    ],
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

    Frames, flow and the index are found in the results folder that contains the runs. Of a video file, they are made in
    a temporary folder (environment variable TMPDIR) as those of the runs were. It has no class of its own: unless
    --class names one, the class that each run predicts is explained.

    Examples:

        stp explain wave/1 --run results/runs/of/baseline/fold1/seed0 --run results/runs/of/3-level/fold1/seed0 -o out
        stp explain new.mp4 --run results/runs/of/3-level/fold1/seed0 -o out
    """
    import torch

    from stp.data.index import Index, read_index
    from stp.data.selection import chosen_clips, clip_fields, fields_by_modality
    from stp.explain.explanation import explain as explain_run
    from stp.explain.explanation import explained_runs, find_data, recipe_of
    from stp.extraction.stages import make_fields
    from stp.figures.explanations import save_explanations
    from stp.predict.videos import video_clip
    from stp.system.devices import configure, reserved_device
    from stp.video.decoding import UndecodableError

    check_crops(crops)
    torch.set_num_threads(threads)
    models = [path / "model.pt" if path.is_dir() else path for path in runs]
    videos = [Path(name) for name in clips if Path(name).is_file()]
    ids = [name for name in clips if not Path(name).is_file()]
    table, source, files = Index(()), "", list[Path]()
    if ids:
        index_path, files = find_data(models, index_file, shards)
        table, source = read_index(index_path), str(index_path)
        check_named(ids, table, source)
    chosen = chosen_clips(table, ids, source)
    named = video_names(videos, chosen)
    explained = explained_runs(models, table if ids else None, source)
    stored, views = fields_by_modality(files), Views(segments, crops)

    def save(name: str, clip: "Clip", fields: "Mapping[str, ClipFields]", title: str, word: str) -> None:
        explanations = [
            explain_run(each, clip_fields(fields, each.run.name.input, clip.clip), clip, word, views, where)
            for each in explained
        ]
        frames = fields["rgb"][clip.clip][:].transpose(0, 2, 3, 1)
        notes = [each.note(clip.clip) if clip.label else f"fold {each.run.name.fold}" for each in explained]
        parameters = {"clip": title, "segments": segments, "crops": crops}
        save_explanations(output / name, frames, explanations, notes, parameters)
        log.info("%s: %s", title, output / f"{name}.png")

    with reserved_device(device, gpu_share) as where:
        configure(where, shapes_repeat=False)
        for name, clip in chosen.items():
            save(name, clip, stored, clip.clip, target)
        for name, path in named.items():
            try:
                clip, _ = video_clip(path)
            except UndecodableError as error:
                raise UserError(f"{path}: {error}") from None
            with TemporaryDirectory(prefix="stp-") as folder:
                fields = make_fields(recipe_of(models), clip, Path(folder), threads)
                save(name, clip, fields, str(path), "predicted" if target == "own" else target)


@app.command()
def figure3(
    index_file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="INDEX", help="The runs' index.")],
    shards: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Shards of frames and of the runs' fields.")
    ],
    models: Annotated[
        list[Path], typer.Option("--run", exists=True, dir_okay=False, help="A run's model.pt; repeat for more.")
    ],
    output: Stem,
    number: Annotated[int, typer.Option(min=1, max=8, help="Number of classes.")] = Explain.number,
    seed: Annotated[int, typer.Option(min=0, help="Picks classes and clips.")] = Explain.seed,
    segments: Annotated[int, typer.Option(min=1, help="Segments, spread evenly over the clip.")] = Explain.segments,
    crops: Annotated[int, typer.Option(help="Number of crops to average over: 1, 2, 5 or 10.")] = Views.crops,
    device: Device = Compute.device,
    gpu_share: GpuShare = Compute.gpu_share,
    threads: Threads = 1,
) -> None:
    """Draw the paper's Figure 3: guided Grad-CAM of clips of a few classes that the runs have not seen."""
    import torch

    from stp.data.index import read_index
    from stp.data.selection import clip_fields, fields_by_modality, picked_clips
    from stp.explain.explanation import explain as explain_run
    from stp.explain.explanation import explained_runs
    from stp.explain.grad_cam import Unexplainable
    from stp.figures.figure3 import ExplainedClip, save_figure3, save_reason
    from stp.system.devices import configure, reserved_device

    check_crops(crops)
    torch.set_num_threads(threads)
    index, fields, views = read_index(index_file), fields_by_modality(shards), Views(segments, crops)
    runs = explained_runs(models, index, str(index_file))
    clips = picked_clips(index, frozenset[str]().union(*(run.trained_on for run in runs)), number, seed)
    if not clips:
        raise UserError(f"--run: the runs were trained on every clip of {index_file}; give runs of one fold")

    def explained(clip: "Clip", where: torch.device) -> ExplainedClip:
        explanations = [
            explain_run(run, clip_fields(fields, run.run.name.input, clip.clip), clip, "own", views, where)
            for run in runs
        ]
        return ExplainedClip(clip, fields["rgb"][clip.clip][:].transpose(0, 2, 3, 1), explanations)

    with reserved_device(device, gpu_share) as where:
        configure(where, shapes_repeat=False)
        try:
            shown = [explained(clip, where) for clip in clips]
        except Unexplainable as reason:
            log.warning("no Figure 3: %s", reason)
            save_reason(output, str(reason))
            return
    log.info("%s", save_figure3(output, shown, {"seed": seed, "segments": segments, "crops": crops}))


def check_named(names: list[str], index: "Index", source: str) -> None:
    """Raise UserError for a name that is a folder, or that of a video that is neither a file nor a clip."""
    from stp.video.decoding import is_video

    known = {clip.clip for clip in index.clips}
    for name in names:
        if Path(name).is_dir():
            raise UserError(f"CLIP: '{name}' is a folder; name videos, or ids of clips of {source}")
        if name not in known and is_video(Path(name)):
            raise UserError(f"CLIP: '{name}' is neither a video that exists nor the id of a clip of {source}")


def video_names(videos: list[Path], taken: "Mapping[str, Clip]") -> dict[str, Path]:
    """The videos by the names of the files to write, their stems; UserError if two have one, or a clip has it."""
    named: dict[str, Path] = {}
    for path in dict.fromkeys(videos):
        other = named.setdefault(path.stem, path)
        if other is not path or path.stem in taken:
            raise UserError(f"CLIP: '{path}' and another clip would both be written to {path.stem}; give one of them")
    return named


@app.command()
def figure4(
    index_file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="INDEX", help="The index.")],
    shards: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Shards of frames.")],
    output: Stem,
) -> None:
    """Draw the paper's Figure 4: frames of a clip of every class, of different people where they are known."""
    from stp.data.index import read_index
    from stp.data.shards import ClipFields
    from stp.figures.figure4 import one_of_each_class, save_figure4

    log.info("%s", save_figure4(output, one_of_each_class(read_index(index_file)), ClipFields(shards)))


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
