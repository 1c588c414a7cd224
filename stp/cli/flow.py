"""Flow alone: from videos to TV-L1 flow for any use."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stp.cli.app import app
from stp.cli.options import (
    BackendName,
    Detector,
    Fps,
    Semantics,
    gpu_of_flow,
    parse_fps,
    parse_size,
    parse_threads,
)
from stp.config import Flow, WarpedFlow


@app.command()
def flow(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Videos; folders of images, which are the frames of one clip in natural order (2 before 10); or "
            "folders that contain such videos and folders at any depth."
        ),
    ],
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
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Resize frames, e.g. to 340x256.", show_default="own size")
    ] = None,
    fps: Fps = "native",
    backend: BackendName = Flow.backend,
    semantics: Annotated[
        Semantics, typer.Option(help="Which of OpenCV's two TV-L1s; published networks mostly saw opencv-cuda.")
    ] = Flow.semantics,
    detector: Annotated[Detector, typer.Option(help="Key points for --warped; sift is slower.")] = WarpedFlow.detector,
    step: Annotated[
        int, typer.Option(min=1, help="Compute flow from each frame to the one this many frames later.")
    ] = 1,
    threads: Annotated[str, typer.Option(metavar="N", help="Processor threads: all or a number.")] = "all",
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
