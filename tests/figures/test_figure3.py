"""Figure 3: which clips it shows, what it says of them, and when there is none."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from stp.cli.app import app
from stp.data.index import Clip, write_index
from stp.data.shards import write_shard
from stp.errors import UserError
from stp.explain.explanation import Explanation
from stp.figures.figure3 import ExplainedClip, draw, strongest, title
from stp.figures.style import STYLE, styled
from stp.training.model_file import TrainedOn
from tests.runs import make_run, untrained

CLASSES = ("nod", "point", "wave")
TINY = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False}
CLIPS = tuple(Clip(f"{label}/{number}", "", label) for label in CLASSES for number in range(3))


def explanation_of(name: str, scores: list[float], target: int, heats: tuple[float, ...]) -> Explanation:
    """A run's explanation with one sub-segment of 5 frames for each of `heats`, the greatest value of its heat."""
    starts = 5 * np.arange(len(heats))
    maps = np.zeros((len(heats), 24, 32), np.float32)
    maps[:, 4:9, 6:12] = np.array(heats)[:, None, None]
    run = make_run(f"{name}/fold1/seed0", CLASSES, **TINY)
    return Explanation(run, 5, target, np.array(scores, np.float32), starts, starts + 2, maps, maps)


def shown(clip: Clip, scores: dict[str, list[float]]) -> ExplainedClip:
    """A clip explained by runs that give it these scores, with the greatest heat in the second sub-segment."""
    target = CLASSES.index(clip.label)
    explanations = [explanation_of(name, values, target, (0.1, 0.9, 0.5)) for name, values in scores.items()]
    return ExplainedClip(clip, np.full((20, 24, 32, 3), 90, np.uint8), explanations)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with three clips of each class; the first of each trained two runs."""
    folder = tmp_path_factory.mktemp("figure3")
    write_index(folder / "index.csv", CLIPS)
    rng = np.random.default_rng(0)
    for modality, channels in (("rgb", 3), ("of", 2)):
        with write_shard(folder / f"clips/{modality}/0.h5", modality, {}) as shard:
            for clip in CLIPS:
                shard.write(clip.clip, rng.integers(0, 256, (24, channels, 48, 64), np.uint8))
    torch.manual_seed(0)
    for name in ("rgb/baseline", "of/3-level"):
        model = folder / f"runs/{name}/fold1/seed0/model.pt"
        model.parent.mkdir(parents=True)
        untrained(make_run(f"{name}/fold1/seed0", CLASSES, **TINY)).save(model, TrainedOn([f"{c}/0" for c in CLASSES]))
    return folder


def figure3(results: Path, stem: Path, *arguments: str, runs: tuple[str, ...] = ("rgb/baseline", "of/3-level")) -> None:
    """Call `stp figure3` for runs of the results folder."""
    models = [word for name in runs for word in ("--run", str(results / f"runs/{name}/fold1/seed0/model.pt"))]
    shards = [str(results / f"clips/{name}/0.h5") for name in ("of", "rgb")]
    seen = ["--segments", "1", "--crops", "1", "--device", "cpu"]
    app(
        ["figure3", str(results / "index.csv"), *shards, *models, *seen, "-o", str(stem), *arguments],
        standalone_mode=False,
    )


def description(png: Path) -> dict[str, list[str]]:
    """What the figure's metadata say that it is made of."""
    made: dict[str, list[str]] = json.loads(Image.open(png).info["Description"])
    return made


def test_unseen_clips_of_distinct_classes_are_shown_and_the_seed_decides_which(results: Path, tmp_path: Path) -> None:
    picked = set()
    for seed in range(3):
        figure3(results, tmp_path / f"{seed}", "--number", "2", "--seed", str(seed))
        made = description(tmp_path / f"{seed}.png")
        assert made["runs"] == ["rgb/baseline/fold1/seed0", "of/3-level/fold1/seed0"]
        assert len({name.split("/")[0] for name in made["clips"]}) == len(made["clips"]) == 2
        assert not {name for name in made["clips"] if name.endswith("/0")}
        picked.add(tuple(made["clips"]))
    assert len(picked) > 1


def test_the_same_seed_gives_the_same_bytes(results: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        figure3(results, tmp_path / name, "--number", "1")
    for kind in ("png", "pdf"):
        assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()


def test_all_classes_are_shown_where_there_are_fewer_than_asked_for(results: Path, tmp_path: Path) -> None:
    figure3(results, tmp_path / "one", runs=("of/3-level",))
    assert len(description(tmp_path / "one.png")["clips"]) == 3


def test_runs_that_know_every_clip_are_refused(results: Path, tmp_path: Path) -> None:
    model = results / "runs/rgb/1-level/fold1/seed0/model.pt"
    model.parent.mkdir(parents=True)
    untrained(make_run("rgb/1-level/fold1/seed0", CLASSES, **TINY)).save(model, TrainedOn([c.clip for c in CLIPS]))
    with pytest.raises(UserError, match=r"--run: the runs were trained on every clip of .*index.csv; give runs of one"):
        figure3(results, tmp_path / "none", runs=("rgb/1-level",))


def test_a_backbone_without_rectifiers_gives_a_figure_that_says_so(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The figure is made by default, so that a network of another kind must not stop everything else."""
    monkeypatch.setattr("stp.explain.grad_cam.RECTIFIERS", ())
    with caplog.at_level(logging.WARNING, logger="stp"):
        figure3(results, tmp_path / "figure3")
    words = "guided Grad-CAM needs a backbone with rectifiers such as ReLU; this one has none"
    assert f"no Figure 3: {words}" in caplog.text
    assert (
        Image.open(tmp_path / "figure3.png").info["Title"] == f"No Figure 3: {words}. explain.number: 0 leaves it out."
    )
    assert (tmp_path / "figure3.pdf").is_file()


def test_the_caption_says_of_each_clip_which_runs_are_right() -> None:
    clips = [
        shown(CLIPS[0], {"rgb/baseline": [0, 1, 0], "of/3-level": [5, 1, 0]}),
        shown(CLIPS[8], {"rgb/baseline": [0, 1, 2], "of/3-level": [0, 1, 2]}),
    ]
    assert title(clips, 7) == (
        "Figure 3: guided Grad-CAM of clips that the runs of fold 1 did not see, picked by seed 7: nod/0 (nod; right: "
        "OF, 3-level; wrong: RGB, baseline), wave/2 (wave; right: RGB, baseline; OF, 3-level)"
    )


def test_each_run_is_shown_where_its_heat_is_strongest() -> None:
    explanation = explanation_of("of/3-level", [0, 0, 1], 2, (0.2, 0.1, 0.7))
    assert strongest(explanation) == (2, 12)


@pytest.mark.parametrize("label", ["nod", "a slight shift of attention towards somebody who speaks"])
@pytest.mark.parametrize("number", [1, 4, 8])
def test_words_lie_in_their_columns_and_on_no_image(label: str, number: int) -> None:
    classes = (label, "point", "wave")
    run = make_run("of/3-level/fold1/seed0", classes, **TINY)
    each = shown(Clip("nod/0", "", "nod"), {"of/baseline": [3, 1, 0], "of/3-level": [3, 1, 0]})
    explanations = [Explanation(run, *list(vars(item).values())[1:]) for item in each.explanations]
    clip = ExplainedClip(Clip(f"{label}/0", "", label), each.frames, explanations)
    with styled([label], [STYLE, {"figure.constrained_layout.use": False}]):
        figure = draw([clip] * number)
        figure.canvas.draw()
    images = [ax.get_window_extent() for ax in figure.axes if ax.images]
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.y1 <= figure.bbox.height
        if not text.get_text().startswith(("frame", "left:")):  # the first stands on an image
            assert not [image for image in images if box.shrunk(0.98, 0.9).overlaps(image)], text.get_text()
    plt.close(figure)
