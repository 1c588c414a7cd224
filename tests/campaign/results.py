"""A tiny results folder with every kind of file that stp writes and reads again, and the commands that make each.

The folder is made once. A step runs in it, or in a copy of it, and writes into another folder, so that what a step
writes can be compared with what it wrote undisturbed.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np
import yaml

from tests.campaign.command import ROOT, Ended, Kill, Launcher

FRAMES = 16
DEMO = ["--clips-per-class", 2, "--frames", FRAMES, "--width", 64, "--height", 48, "--actors", 2]
SIZE = ["--width", 64, "--height", 48]
STREAM = {"epochs": 2, "learning_rate": 0.01}
SETTINGS = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False}
RGB = json.dumps(SETTINGS | {"rgb": STREAM})
FLOW = json.dumps(SETTINGS | {"flow": STREAM})
LONG = json.dumps(SETTINGS | {"rgb": STREAM | {"epochs": 40}})
FROZEN = json.dumps({"images": 4, "input_size": 32})
VIEWS = ["--segments", 2, "--crops", 1]
VIDEO = "videos/passing/passing_a00_000.mp4"
STREAMS = ("rgb", "of", "wof")
RUNS = [f"runs/{stream}/baseline/fold{fold}/seed0" for stream in STREAMS for fold in (1, 2)]
SCORES = [f"{run}/scores.h5" for run in RUNS]

TIMED = {"seconds", "images_per_second", "check"}  # columns of logs: durations, and the digest of rows with them

Words = list[Any]


@dataclass(frozen=True)
class Step:
    """A command of stp that writes into a folder; `words` makes its arguments from that folder.

    `inside` names what it writes in the folder where it runs, and has to be taken from there.
    """

    name: str
    words: Callable[[Path], Words]
    inside: str = ""

    def run(self, launcher: Launcher, source: Path, out: Path, **options: Any) -> Ended:
        """Run it in the folder `source`."""
        out.mkdir(parents=True, exist_ok=True)
        return launcher.stp(*self.words(out), cwd=source, **options)


def train(out: Path, stream: str, fold: int, *more: object) -> Words:
    """A training of a stream's baseline."""
    settings = RGB if stream == "rgb" else FLOW
    words = ["train", "index.csv", f"fold{fold}.csv", f"{stream}.h5", "--variant", "baseline", "--fold", fold]
    return [*words, "--settings", settings, "-o", out / "model.pt", "--log-csv", out / "log.csv", *more]


def score(out: Path, model: str, fold: int, clips: str) -> Words:
    """The scoring of a run's test clips."""
    return ["score", model, "index.csv", f"fold{fold}.csv", clips, *VIEWS, "-o", out / "scores.h5"]


def flow(out: Path, file_format: str) -> Words:
    """Flow of some videos in a format."""
    return ["flow", "videos/passing", "videos/pointing", "--format", file_format, "-o", out / "flow"]


def table(out: Path, name: str, *more: object) -> Words:
    """A table of all scores."""
    return [name, *SCORES, "-o", out / f"{name}.csv", "--text", out / f"{name}.md", *more]


STEPS = {
    step.name: step
    for step in (
        Step("demo", lambda out: ["demo", out / "videos", *DEMO]),
        Step("index", lambda out: ["index", "videos", "-o", out / "index.csv", "--skipped", out / "skipped.csv"]),
        Step("init", lambda out: ["init", "videos", "-o", out / "own.yaml"]),
        Step("frames", lambda out: ["frames", "index.csv", *SIZE, "-o", out / "rgb.h5"]),
        Step("frames-jpeg", lambda out: ["frames", "index.csv", *SIZE, "--storage", "jpeg", "-o", out / "rgb.h5"]),
        Step("extract", lambda out: ["extract", "rgb.h5", out / "of.h5", out / "wof.h5"]),
        Step(
            "extract-jpeg",
            lambda out: ["extract", "jpeg/rgb.h5", out / "of.h5", out / "wof.h5", "--storage", "jpeg"],
        ),
        Step(
            "splits",
            lambda out: ["splits", "index.csv", out / "fold1.csv", out / "fold2.csv", "--scheme", "random"],
        ),
        Step("features", lambda out: ["features", "frozen", "rgb.h5", "--settings", FROZEN, "-o", out / "frozen.h5"]),
        Step("train", lambda out: train(out, "rgb", 1)),
        Step("train-of", lambda out: train(out, "of", 1)),
        Step("train-state", lambda out: [*train(out, "rgb", 1), "--settings", LONG, "--state", "state/run"]),
        Step(
            "train-svm",
            lambda out: [
                *["train", "index.csv", "fold1.csv", "frozen.h5", "--variant", "svm"],
                *["-o", out / "model.pt", "--log-csv", out / "log.csv"],
            ],
        ),
        Step("score", lambda out: score(out, f"{RUNS[0]}/model.pt", 1, "rgb.h5")),
        Step("score-of", lambda out: score(out, f"{RUNS[2]}/model.pt", 1, "of.h5")),
        Step("score-wof", lambda out: score(out, f"{RUNS[4]}/model.pt", 1, "wof.h5")),
        Step("score-jpeg", lambda out: score(out, "jpeg/model.pt", 1, "jpeg/rgb.h5")),
        Step("score-svm", lambda out: score(out, "svm/model.pt", 1, "frozen.h5")),
        Step("table1", lambda out: table(out, "table1", "--long", out / "long.csv", "--skipped", "skipped.csv")),
        Step("metrics", lambda out: table(out, "metrics")),
        Step("statistics", lambda out: table(out, "statistics", "--resamples", 100)),
        Step("comparison", lambda out: table(out, "comparison", "--reported", "reported.csv")),
        Step("methods", lambda out: table(out, "methods", "--proposed", "baseline", "--classes", out / "classes")),
        Step("confusion", lambda out: ["confusion", *SCORES, "-o", out / "confusion"]),
        Step("classes", lambda out: ["classes", *SCORES, "--reported", "reported.csv", "-o", out / "classes"]),
        Step("curves", lambda out: ["curves", *[f"{run}/log.csv" for run in RUNS[:2]], "-o", out / "curves"]),
        Step("runs", lambda out: ["runs", "."]),
        Step("paper", lambda out: ["paper", "table1.md", "curves.png", "-o", out / "paper.html"]),
        Step(
            "examples",
            lambda out: ["examples", "index.csv", "rgb.h5", "of.h5", "wof.h5", "--number", 1, "-o", out / "examples"],
        ),
        Step(
            "explain",
            lambda out: [
                *["explain", "passing/passing_a00_000", "--run", f"{RUNS[0]}/model.pt", "--index", "index.csv"],
                *["--clips", "rgb.h5", "--segments", 1, "--crops", 1, "-o", out / "explain"],
            ],
        ),
        Step(
            "predict",
            lambda out: [
                *["predict", VIDEO, "--run", RUNS[0], "--run", RUNS[1], *VIEWS, "--threads", 1],
                *["--csv", out / "predicted.csv"],
            ],
        ),
        Step(
            "predict-overlay",
            lambda out: [
                *["predict", VIDEO, "--run", "runs/of/baseline", *VIEWS, "--threads", 1, "--window", 0.2],
                *["--overlay", out / "overlay.mp4", "--json", out / "report.json", "--figure", out / "figure.png"],
            ],
        ),
        Step("flow-h5", lambda out: flow(out, "h5")),
        Step("flow-npy", lambda out: flow(out, "npy")),
        Step("flow-png", lambda out: flow(out, "png")),
        Step("flow-jpg", lambda out: flow(out, "jpg")),
        Step("flow-mp4", lambda out: flow(out, "mp4")),
        Step("flow-again", lambda out: ["flow", VIDEO, "-o", "flow"], inside="flow"),
        Step(
            "weights",
            lambda out: [
                *["weights", "--backbone", "convnet", "--weights", "network.pt", "--width", 0.25],
                *["--input-size", 32, "-o", out / "weights.json"],
            ],
        ),
    )
}

UNDISTURBED = {name: Lock() for name in STEPS}


def require(ended: Ended) -> None:
    """RuntimeError unless a command ended well."""
    if ended.code != 0:
        raise RuntimeError(f"{' '.join(ended.words)} ended with {ended.code}: {ended.stderr[-2000:]}")


def into(launcher: Launcher, folder: Path, name: str, words: Callable[[Path], Words]) -> None:
    """Run a command whose output stays in the results folder."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    require(launcher.stp(*words(place), cwd=folder, seconds=600))


def make_results(launcher: Launcher, folder: Path) -> None:
    """Fill the folder: videos, index, shards, folds, runs, scores, tables and what else the steps read."""
    folder.mkdir(parents=True)
    require(launcher.stp("demo", "videos", *DEMO, cwd=folder))
    (folder / "videos/passing/broken.avi").write_text("not a video\n")  # so that skipped.csv has a row
    into(launcher, folder, ".", lambda out: [*STEPS["index"].words(out), "--on-bad-video", "skip"])
    (folder / "videos/passing/broken.avi").unlink()
    for name in ("frames", "extract", "splits", "features"):
        into(launcher, folder, ".", STEPS[name].words)
    into(launcher, folder, "jpeg", STEPS["frames-jpeg"].words)
    into(launcher, folder, "jpeg", lambda out: [*train(out, "rgb", 1)[:3], "jpeg/rgb.h5", *train(out, "rgb", 1)[4:]])
    into(launcher, folder, "svm", STEPS["train-svm"].words)
    for run in RUNS:
        stream, fold = run.split("/")[1], int(run.split("fold")[1][0])
        into(launcher, folder, run, lambda out, s=stream, f=fold: train(out, s, f))  # type: ignore[misc]
        into(launcher, folder, run, lambda out, r=run, s=stream, f=fold: score(out, f"{r}/model.pt", f, f"{s}.h5"))  # type: ignore[misc]
    shutil.copy(ROOT / "config/reported/table2.csv", folder / "reported.csv")
    for name in ("table1", "curves", "flow-again"):
        into(launcher, folder, ".", STEPS[name].words)
    make_state(launcher, folder)
    make_network(folder / "network.pt")
    (folder / "out").mkdir()


def make_state(launcher: Launcher, folder: Path) -> None:
    """Leave the state of a training that was killed."""
    for milliseconds in range(150, 3000, 25):
        kill = Kill(milliseconds / 1000, 9)  # type: ignore[arg-type]
        words = STEPS["train-state"].words(folder / "stopped")
        (folder / "stopped").mkdir(exist_ok=True)
        ended = launcher.stp(*words, cwd=folder, kill=kill)
        if ended.code == 0:
            raise RuntimeError("the training ended before it was killed")
        if list((folder / "state/run").glob("*.pt")):
            return
    raise RuntimeError("the training left no state")


def make_network(path: Path) -> None:
    """Write a state dict as a user may name one under `model.weights`."""
    import torch

    from stp.models.convnet import ConvNet

    torch.manual_seed(0)
    torch.save(ConvNet(width=0.25).state_dict(), path)


def copy(results: Path, folder: Path) -> None:
    """The results folder again, in which a file may be replaced: its files are links."""
    shutil.copytree(results, folder, copy_function=os.link)
    options = folder / "flow/flow.json"
    if options.exists():
        words = options.read_text().replace(str(results), str(folder))
        options.unlink()
        options.write_text(words)


def undisturbed(launcher: Launcher, results: Path, name: str) -> Path:
    """The folder of what a step makes of the whole results folder; run once.

    Beside it stand what the step prints, NAME.stdout, and how long it takes, NAME.seconds.
    """
    with UNDISTURBED[name]:
        step, out = STEPS[name], results.with_name("undisturbed") / name
        if not out.with_suffix(".seconds").exists():
            source = out.with_suffix(".source")
            copy(results, source)
            ended = step.run(launcher, source, out, seconds=600)
            require(ended)
            if step.inside:
                shutil.rmtree(out)
                shutil.copytree(source / step.inside, out)
            out.with_suffix(".stdout").write_text(ended.stdout)
            out.with_suffix(".seconds").write_text(str(ended.seconds))
            shutil.rmtree(source)
    return out


def difference(made: Path, reference: Path) -> str | None:
    """What differs between two files or folders: the first path below them, or None.

    HDF5 files are compared by their arrays and attributes; times in logs and the bytes of PDFs, which hold the date,
    do not count.
    """
    if reference.is_dir():
        names = {path.relative_to(place).as_posix() for place in (made, reference) for path in place.rglob("*")}
        for name in sorted(names):
            if not (made / name).exists() or not (reference / name).exists():
                return f"{name} is in one only"
            if (reference / name).is_file() and difference(made / name, reference / name):
                return name
        return None
    if made.is_file() and (made.read_bytes() == reference.read_bytes() or reference.suffix == ".pdf"):
        return None
    if not made.is_file():
        return reference.name
    same = {".h5": same_arrays, ".csv": same_rows, ".json": same_values, ".yaml": same_keys}.get(reference.suffix)
    return None if same and same(made, reference) else reference.name


def same_arrays(made: Path, reference: Path) -> bool:
    """True if two HDF5 files have the same data sets and attributes."""

    def arrays(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with h5py.File(path, "r") as file:

            def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
                found.update({f"{name}@{key}": np.asarray(value) for key, value in item.attrs.items()})
                if isinstance(item, h5py.Dataset):
                    found[name] = item[()]

            visit("", file)
            file.visititems(visit)
        return found

    first, second = arrays(made), arrays(reference)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def same_rows(made: Path, reference: Path) -> bool:
    """True if two logs of trainings agree but for the time that they took."""

    def rows(path: Path) -> list[list[str]]:
        table = [line.split(",") for line in path.read_text().splitlines()]
        timed = [i for i, name in enumerate(table[0]) if name in TIMED] if "seconds" in table[0] else []
        return [[cell for i, cell in enumerate(row) if i not in timed] for row in table]

    return rows(made) == rows(reference)


def same_values(made: Path, reference: Path) -> bool:
    """True if two JSON files agree but for the folders that they name and the digest of the file they are about."""
    texts = [re.sub(r'"/[^"]*/|"file_sha256": .*', '"', path.read_text()) for path in (made, reference)]
    return texts[0] == texts[1]


def same_keys(made: Path, reference: Path) -> bool:
    """True if two drafts of a config have the same sections: their values depend on the memory that is free."""
    return yaml.safe_load(made.read_text()).keys() == yaml.safe_load(reference.read_text()).keys()
