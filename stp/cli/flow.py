"""Flow and trajectories alone, from videos, for any use."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stp.cli.app import app
from stp.cli.options import (
    BackendName,
    Detector,
    Fps,
    Semantics,
    check_new,
    gpu_of_flow,
    parse_fps,
    parse_size,
    parse_threads,
)
from stp.config import Flow, WarpedFlow
from stp.errors import UserError

Sources = Annotated[
    list[Path],
    typer.Argument(
        help="Videos; folders of images, which are the frames of one clip in natural order (2 before 10); or "
        "folders that contain such videos and folders at any depth."
    ),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Resize frames, e.g. to 340x256.", show_default="own size")
]
AllThreads = Annotated[str, typer.Option(metavar="N", help="Processor threads: all or a number.")]


@app.command()
def flow(
    sources: Sources,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: OUT/of/NAME and OUT/wof/NAME.")],
    file_format: Annotated[
        Literal["h5", "npy", "png", "jpg", "mp4"],
        typer.Option(
            "--format",
            help="h5: bytes, what the pipeline trains on. npy: float32 (T-1, 2, H, W). png, jpg: bytes as images, "
            "a folder of flow_x_00001, flow_y_00001, ...; jpg is lossy. mp4: colours, for looking at.",
        ),
    ] = "h5",
    warped: Annotated[
        bool, typer.Option("--warped", help="Also compute flow without the camera's motion: OUT/wof.")
    ] = False,
    bound: Annotated[
        float,
        typer.Option(
            min=0.01, help="+-bound pixels map to bytes 0..255, 128 is no motion; mp4: flow length of full colour."
        ),
    ] = Flow.bound,
    size: Size = None,
    fps: Fps = "native",
    backend: BackendName = Flow.backend,
    semantics: Annotated[
        Semantics, typer.Option(help="Which of OpenCV's two TV-L1s; published networks mostly saw opencv-cuda.")
    ] = Flow.semantics,
    detector: Annotated[Detector, typer.Option(help="Key points for --warped; sift is slower.")] = WarpedFlow.detector,
    step: Annotated[
        int, typer.Option(min=1, help="Compute flow from each frame to the one this many frames later.")
    ] = 1,
    threads: AllThreads = "all",
) -> None:
    """Turn videos or folders of frames into TV-L1 optical flow.

    A video is named by its stem, a folder of frames by its own name, and a source found inside a folder by its path
    from there. Flow is x (rightwards) and y (downwards) in pixels.

    To continue after an interruption, run the command again: files appear only when complete, and complete files stay.
    OUT/flow.json stores the options; other options need another OUT. Sources that cannot be read to their end are
    reported and skipped, and the exit status is then 1.

    Examples:

        stp flow clip.avi -o flow
        stp flow videos/ -o flow --format jpg --warped --size 340x256
        stp flow clip.avi -o look --format mp4 --bound 5
    """
    from stp.extraction.flow_folder import FlowFolder, make_flow
    from stp.extraction.pairs import FlowSettings
    from stp.flow import TVL1Parameters, resolve_backend
    from stp.video.sources import find_sources

    engine, parameters = resolve_backend(backend, semantics), TVL1Parameters(semantics=semantics)
    settings = FlowSettings(engine, parameters, detector if warped else None, step=step)
    folder = FlowFolder(output, file_format, bound, parse_size(size) if size else None, settings, parse_fps(fps))
    with gpu_of_flow(engine):
        make_flow(find_sources(sources), folder, parse_threads(threads))


@app.command()
def trajectories(
    sources: Sources,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="New file OUT.h5 for all videos, or a folder to write: OUT/NAME.h5."),
    ],
    overlay: Annotated[
        Path | None, typer.Option(help="mp4 file to write: the one video with its trajectories drawn on it.")
    ] = None,
    flow_kind: Annotated[
        Literal["farneback", "tvl1"],
        typer.Option("--flow", help="farneback: as published. tvl1: as the pipeline's, sharper, and slower."),
    ] = "farneback",
    min_motion: Annotated[
        float,
        typer.Option(min=0, help="Multiplies what a track has to move to be kept; 0.25 keeps subtle motion, too."),
    ] = 1.0,
    scales: Annotated[int, typer.Option(min=1, max=8, help="Most sizes of the frames that are searched.")] = 8,
    stride: Annotated[int, typer.Option(min=1, help="Pixels from one point to the next.")] = 5,
    patch: Annotated[
        int, typer.Option(min=4, help="Side in pixels of what is described around a point; smaller for small frames.")
    ] = 32,
    size: Size = None,
    fps: Fps = "native",
    detector: Annotated[
        Detector, typer.Option(help="Key points, to find the camera's motion; sift is slower.")
    ] = WarpedFlow.detector,
    backend: BackendName = Flow.backend,
    threads: AllThreads = "all",
) -> None:
    """Turn videos or folders of frames into improved trajectories (Wang and Schmid, ICCV 2013).

    Points are followed for 15 frames at several sizes of the frames, and described by HOG, HOF and MBH, without the
    camera's motion. A video is named by its stem, a folder of frames by its own name, and a source found inside a
    folder by its path from there. Files hold /clips/NAME, float32 (n, 430): time of the middle (0 to 1), mean x and y
    in pixels, layer, 30 numbers of shape, 96 of HOG, 108 of HOF, 96 of MBHx and 96 of MBHy; /points/NAME, float32 (n,
    16, 2) in pixels; and /last_frames/NAME.

    Complete files in a folder stay, so that the command can be repeated after an interruption; other options need
    another folder. Sources that cannot be read to their end are reported and skipped, and the exit status is then 1.

    Examples:

        stp trajectories clip.avi -o clip.h5 --overlay clip.mp4
        stp trajectories videos/ -o idt --size 340x256
        stp trajectories subtle.mp4 -o subtle.h5 --min-motion 0.25 --flow tvl1
    """
    from stp.extraction.pairs import FlowSettings
    from stp.extraction.trajectory_files import TrajectorySettings, make_trajectories
    from stp.flow import resolve_backend
    from stp.trajectories import TrajectoryParameters
    from stp.video.sources import find_sources

    if patch % 2:
        raise UserError(f"--patch: {patch} is odd; give an even number")
    check_new({"--overlay": overlay})
    found = find_sources(sources)
    if overlay and len(found) > 1:
        raise UserError(f"--overlay: draws on one video, but {len(found)} are given; call once for each")
    engine = resolve_backend(backend)
    tvl1 = FlowSettings(engine, detector=detector) if flow_kind == "tvl1" else None
    parameters = TrajectoryParameters(scales, stride, patch, min_motion)
    settings = TrajectorySettings(parameters, tvl1, detector, parse_size(size) if size else None, parse_fps(fps))
    with gpu_of_flow(engine if tvl1 else ""):
        make_trajectories(found, output, settings, parse_threads(threads), overlay)
