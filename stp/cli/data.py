"""From videos to data for training: demo data, index, frames, flow and folds."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stp.cli.app import app
from stp.cli.options import (
    BackendName,
    Detector,
    ExistingFile,
    Fps,
    Keep,
    Output,
    Quality,
    Semantics,
    Storage,
    Threads,
    gpu_of_flow,
    parse_fps,
    parse_json,
    parse_options,
)
from stp.config import Demo, Flow, Frames, OnBadVideo, Onset, Scheme, Splits, StorageFormat, WarpedFlow
from stp.errors import UserError

if TYPE_CHECKING:
    from stp.data.index import Clip, Index
    from stp.video.checking import BadVideo

log = logging.getLogger("stp")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to fill with CLASS/clip.mp4.")],
    clips_per_class: Annotated[int, typer.Option(min=1)] = Demo.clips_per_class,
    frames: Annotated[int, typer.Option(min=12)] = Demo.frames,
    width: Annotated[int, typer.Option(min=32)] = Demo.width,
    height: Annotated[int, typer.Option(min=32)] = Demo.height,
    actors: Annotated[int, typer.Option(min=1)] = Demo.actors,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    onset: Annotated[
        Onset, typer.Option(help="The action fills its clip, or takes a third of it and begins anywhere.")
    ] = Demo.onset,
    first_person: Annotated[
        bool, typer.Option("--first-person", help="Draw what the actor sees in the same clips, under the same names.")
    ] = False,
    threads: Threads = 1,
) -> None:
    """Draw the embedded demo data set as video files."""
    from stp.datasets.demo import DemoFormat, draw_clip, draw_first_person, generate

    clip_format = DemoFormat(frames, width, height, seed=seed, onset=onset)
    generate(folder, clips_per_class, actors, clip_format, threads, draw_first_person if first_person else draw_clip)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the videos.")],
    output: Output,
    skipped: Annotated[Path, typer.Option(help="csv file to write: the clips that were skipped.")],
    importer: Annotated[
        str, typer.Option(help="Layout of the videos: folder, list, demo, ut_interaction, pev, hmdb51, ma52.")
    ] = "folder",
    lists: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data set's official lists; for list, the csv file of clips, for folder that of groups."
        ),
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="Option of the importer, as NAME=VALUE.")] = None,
    on_bad_video: OnBadVideo = "error",
    named: Annotated[
        str, typer.Option(help="Clips and classes that a config names, which must be there: JSON, by their keys.")
    ] = "{}",
    first_person_for: Annotated[
        str, typer.Option(help="The method for which every clip must have a first-person video; empty for none.")
    ] = "",
    keep: Keep = False,
    threads: Threads = 1,
) -> None:
    """Find the clips of a data set, decode each to its end, and write the index."""
    from stp.data.index import SKIPPED, check_first_person, check_ids, place, write_index
    from stp.data.selection import check_named
    from stp.datasets import find_clips, left_out
    from stp.extraction.reuse import earlier_index, keep_file
    from stp.system.tables import write_table

    clips = find_clips(importer, folder, lists, parse_options(option or []))
    check_ids(clips)
    if first_person_for:
        check_first_person(clips, first_person_for)
    names = parse_json(named, "--named")
    check_named(names, clips)  # before the videos are decoded
    if ignored := str(left_out(folder, clips, lists)):
        log.warning("left out of '%s': %s", folder, ignored)
    before = earlier_index(output)
    good, bad = decoded_clips(clips, before, threads, on_bad_video == "use")
    if bad and on_bad_video == "error":
        listed = "\n".join(f"  {video}" for video in bad)
        raise UserError(
            f"{len(bad)} of {len(clips)} videos do not decode; fix or remove them, or set on_bad_video: skip, or "
            f"use for those of which frames decode\n{listed}"
        )
    emptied = {video.clip.label for video in bad} - {clip.label for clip in good} - {""}
    if emptied:
        raise UserError(f"no video of class '{min(emptied)}' decodes; fix them or remove the class")
    check_named(names, good)
    taken = {clip.clip for clip in good}
    skipped_videos = [video for video in bad if video.clip.clip not in taken]
    for video in bad:
        if video.clip.clip in taken:
            log.warning("used nevertheless, %d frames of %s", video.frames, video)
        else:
            log.warning("skipped %s", video)
    write_table(skipped, SKIPPED, [(video.clip.clip, video.clip.path, video.reason) for video in skipped_videos])
    write_index(output, place(good, before))
    if keep:
        keep_file(output)
    log.info("%d clips of %d classes", len(good), len({clip.label for clip in good} - {""}))


def decoded_clips(
    clips: "Sequence[Clip]", before: "Index | None", threads: int, use_damaged: bool
) -> "tuple[list[Clip], list[BadVideo]]":
    """The clips whose videos decode, with frames and digests, and the others, as `check_videos` finds them.

    Videos that are as in an index made before are not decoded again.
    """
    from functools import partial

    from stp.video.checking import check_videos
    from stp.video.identity import check_changed

    known = {clip.digest: clip.frames for clip in before.clips if clip.digest} if before else {}
    good, bad = check_videos(clips, threads, partial(check_changed, known=known), use_damaged)
    same = sum(clip.digest in known for clip in good)
    if same:
        log.info("%d videos are as before and were not decoded again", same)
    return good, bad


@app.command()
def first_person(
    index_file: ExistingFile,
    output: Output,
    folder: Annotated[
        Path | None,
        typer.Option("--videos", exists=True, file_okay=False, help="Folder of CLIP.mp4, instead of the index's own."),
    ] = None,
    needed_by: Annotated[str, typer.Option("--for", help="The method that sees them, for messages.")] = "this command",
    on_bad_video: OnBadVideo = "error",
    keep: Keep = False,
    threads: Threads = 1,
) -> None:
    """Decode each clip's first-person video to its end, and write the index of `stp frames --modality first`."""
    from stp.data.index import check_first_person, first_person_clips, read_index, write_index
    from stp.extraction.reuse import earlier_index, keep_file

    table = read_index(index_file)
    if not folder:
        check_first_person(table.clips, needed_by)
    use = on_bad_video == "use"
    good, bad = decoded_clips(first_person_clips(table, folder), earlier_index(output), threads, use)
    if len(good) < len(table.clips) or (bad and not use):
        listed = "\n".join(f"  {video}" for video in bad)
        raise UserError(
            f"{len(bad)} of {len(table.clips)} first-person videos do not decode; fix them or remove their clips, or "
            f"set on_bad_video: use for those of which frames decode\n{listed}"
        )
    for video in bad:
        log.warning("used nevertheless, %d frames of %s", video.frames, video)
    write_index(output, good)
    if keep:
        keep_file(output)


@app.command()
def frames(
    index_file: ExistingFile,
    output: Output,
    shard: Annotated[int, typer.Option(min=0)] = 0,
    shards: Annotated[int, typer.Option(min=1)] = 1,
    width: Annotated[int, typer.Option(min=1, help="Pixels.")] = Frames.width,
    height: Annotated[int, typer.Option(min=1, help="Pixels.")] = Frames.height,
    fps: Fps = "native",
    storage: Storage = StorageFormat.format,
    quality: Quality = StorageFormat.quality,
    modality: Annotated[
        Literal["rgb", "first"], typer.Option(help="What the frames are stored as; first: of first-person videos.")
    ] = "rgb",
    keep: Keep = False,
) -> None:
    """Decode the clips of one shard into RGB frames."""
    from stp.data.index import read_index
    from stp.extraction.reuse import keep_file
    from stp.extraction.stages import extract_frames

    chosen = StorageFormat(storage, quality)
    clips = read_index(index_file).shard(shard, shards)
    extract_frames(clips, output, width, height, chosen, parse_fps(fps), modality)
    if keep:
        keep_file(output)


@app.command()
def extract(
    frames_file: ExistingFile,
    output: Annotated[Path, typer.Argument(help="File to write: flow of the clips.")],
    warped: Annotated[Path | None, typer.Argument(help="File to write: flow without camera motion.")] = None,
    backend: BackendName = Flow.backend,
    semantics: Semantics = Flow.semantics,
    bound: Annotated[float, typer.Option(min=0.01, help="+-bound pixels/frame map to 0..255.")] = Flow.bound,
    detector: Detector = WarpedFlow.detector,
    storage: Storage = StorageFormat.format,
    quality: Quality = StorageFormat.quality,
    keep: Keep = False,
    threads: Threads = 1,
) -> None:
    """Compute TV-L1 flow and, if a file is named for it, warped flow of the clips of one shard."""
    from stp.extraction.pairs import FlowSettings
    from stp.extraction.reuse import keep_file
    from stp.extraction.stages import extract_flow
    from stp.flow import TVL1Parameters, resolve_backend

    engine, parameters = resolve_backend(backend, semantics), TVL1Parameters(semantics=semantics)
    settings = FlowSettings(engine, parameters, detector if warped else None)
    with gpu_of_flow(engine):
        extract_flow(frames_file, output, warped, settings, bound, threads, StorageFormat(storage, quality))
    if keep:
        for path in filter(None, (output, warped)):
            keep_file(path)


@app.command()
def splits(
    index_file: ExistingFile,
    outputs: Annotated[
        list[Path], typer.Argument(help="csv files to write, one per fold; their number is the number of folds.")
    ],
    scheme: Scheme = Splits.scheme,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Divide the clips into folds."""
    from stp.data.index import read_index
    from stp.data.splits import group_shares, make_folds, write_fold

    table = read_index(index_file)
    folds = make_folds(table, scheme, len(outputs), seed)
    if scheme in ("random", "balanced") and (shares := group_shares(table, folds)):
        harm = (
            ": a stream that recognises groups (people, places) is pushed below chance; splits.scheme balanced avoids "
            "it where every group has a clip of each class for each fold, grouped always"
        )
        log.info(
            "a test clip's class has %.1f %% of its group's training clips and %.1f %% of all its group's clips%s",
            *shares,
            harm if shares[0] < 0.99 * shares[1] else "",
        )
    for path, words in zip(outputs, folds, strict=True):
        write_fold(path, table, words)
