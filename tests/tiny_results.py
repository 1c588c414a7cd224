"""A small results folder, made by the subcommands of the pipeline in one process."""

import json
from pathlib import Path

from stp.cli import data, training

SETTINGS = {
    **{"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False},
    **{"batch_videos": 4, "rgb_frame": "any"},
    "rgb": {"epochs": 1, "milestones": [], "learning_rate": 0.01, "dropout": 0.2, "scales": [0.9]},
    "flow": {"epochs": 2, "milestones": [], "learning_rate": 0.02, "dropout": 0.2, "scales": [0.9]},
}
RUNS = {"rgb": ("3-level",), "of": ("baseline", "3-level")}


def make_results(results: Path) -> Path:
    """Fill the folder as the demo's config does, with two clips of each class, one fold of two and the seed 0."""
    index, fold = results / "index.csv", results / "splits/fold1.csv"
    data.demo(results / "videos", clips_per_class=2, frames=24, width=48, height=36, actors=2)
    data.index(results / "videos", index, results / "skipped.csv", importer="demo")
    for name in ("rgb", "of"):
        (results / "clips" / name).mkdir(parents=True)
    shards = {name: results / "clips" / name / "0.h5" for name in ("rgb", "of")}
    data.frames(index, shards["rgb"], width=48, height=36)
    data.extract(shards["rgb"], shards["of"], bound=3)
    data.splits(index, [fold, fold.with_name("fold2.csv")])
    for name, variants in RUNS.items():
        for variant in variants:
            run = results / "runs" / name / variant / "fold1/seed0"
            training.train(
                *(index, fold, [shards[name]], run / "model.pt"),
                log_csv=run / "log.csv",
                variant=variant,
                settings=json.dumps(SETTINGS),
                device="cpu",
            )
            training.score(run / "model.pt", index, fold, [shards[name]], run / "scores.h5", segments=3, device="cpu")
    return results
