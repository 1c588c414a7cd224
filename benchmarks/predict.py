"""Prediction of videos: seconds that `stp predict` takes, beside the duration of what it predicts.

    python benchmarks/predict.py               # a synthetic clip, written as a video to a temporary folder
    python benchmarks/predict.py a.avi b.avi   # videos

Untrained networks, which take as long as trained ones: the demo's small one on 128x96 frames, and the paper's
BN-Inception on 340x256. The time of decoding and flow is also given by itself. Prints a table and keeps it in
benchmarks/RESULTS.md.
"""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from extraction import write_synthetic_video
from record import benchmark_parser, record

from stp.config import Fusion, Views
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.extraction.pairs import FlowSettings
from stp.extraction.recipe import shard_parameters
from stp.extraction.stages import make_fields
from stp.flow import resolve_backend
from stp.methods.pyramid import PyramidOptions, build
from stp.predict.ensemble import Ensemble, load_ensemble
from stp.predict.videos import predict_video
from stp.system.devices import select_device
from stp.system.logs import only_warnings
from stp.system.machine import keep_freed_memory
from stp.training.model_file import TrainedOn, write_model
from stp.training.run import Run
from stp.video.decoding import examine_video

CLASSES = ("pointing", "attention", "positive", "negative", "passing", "receiving", "gesture")
STREAMS = (("rgb", "of", "wof"), ("of",), ("rgb",))
NETWORKS = {
    "convnet 32, 128x96": (128, 96, PyramidOptions("convnet", "none", input_size=32, partial_bn=False)),
    "BN-Inception 224, 340x256": (340, 256, PyramidOptions("bninception", "none")),
}


def untrained(folder: Path, name: str, modality: str, backend: str) -> Path:
    """An untrained run of 3 levels, saved."""
    width, height, options = NETWORKS[name]
    fields = {"width": width, "height": height}
    if modality != "rgb":
        flow = FlowSettings(resolve_backend(backend), detector="orb")
        fields = shard_parameters(flow, 20.0, modality) | {"frames": fields}
    run, path = Run(RunName(modality, "3-level", 1), "pyramid", CLASSES, options), folder / name / modality / "model.pt"
    write_model(path, run, build(run).state_dict(), TrainedOn(fields={modality: fields}))
    return path


def seconds_of_fields(ensemble: Ensemble, video: Path, threads: int) -> float:
    """Seconds that decoding and flow take."""
    clip = Clip("video", str(video), "", frames=examine_video(str(video)).frames)
    with TemporaryDirectory() as folder, only_warnings("stp"):
        start = time.perf_counter()
        make_fields(ensemble.recipe, clip, Path(folder), threads)
        return time.perf_counter() - start


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="*", type=Path, help="videos; a synthetic one without")
    parser.add_argument("--segments", type=int, default=25)
    parser.add_argument("--crops", type=int, default=10)
    parser.add_argument("--backend", default="auto", help="of TV-L1")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device, threads, busy = select_device(arguments.device), len(os.sched_getaffinity(0)), os.getloadavg()[0]
    keep_freed_memory()  # as stp predict does
    torch.set_num_threads(threads)
    views = Views(arguments.segments, arguments.crops)
    rows = ["| network | streams | s of video | s | of these decoding, flow | times real time |"]
    rows.append("|---|---|--:|--:|--:|--:|")
    with TemporaryDirectory() as folder:
        videos = arguments.videos or [Path(folder) / "synthetic.mp4"]
        if not arguments.videos:
            write_synthetic_video(videos[0])
        for name in NETWORKS:
            for streams in STREAMS:
                runs = [untrained(Path(folder), name, modality, arguments.backend) for modality in streams]
                ensemble = load_ensemble(runs, Fusion(), views, device)
                if device.type == "cuda" or len(rows) == 2:  # TV-L1 is compiled once, a GPU tuned to each network
                    predict_video(ensemble, videos[0], device, threads=threads)
                found = [predict_video(ensemble, video, device, threads=threads) for video in videos]
                fields = sum(seconds_of_fields(ensemble, video, threads) for video in videos)
                duration, elapsed = sum(item.seconds for item in found), sum(item.elapsed for item in found)
                words = f"{'+'.join(streams).upper()} | {duration:.1f} | {elapsed:.1f} | {fields:.1f}"
                rows.append(f"| {name} | {words} | {duration / elapsed:.2f} |")
    sizes = ", ".join(f"{item.path.name} ({item.facts.frames} frames, {item.facts.rate:g}/s)" for item in found)
    rows += ["", f"{sizes}; {arguments.segments} segments x {arguments.crops} crops, 3 levels."]
    if device.type != "cuda":
        rows.append("Not run on a GPU.")
    remarks = f"On {device}, {threads} threads, TV-L1 by {resolve_backend(arguments.backend)}; "
    record(
        "Prediction of videos" + (" on a GPU" if device.type == "cuda" else ""),
        rows,
        f"{remarks}load average before the run {busy:.1f}.",
        arguments.keep,
    )


if __name__ == "__main__":
    main()
