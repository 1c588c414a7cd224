"""stp check: what is wrong or missing is found before anything runs, and all of it at once."""

from pathlib import Path
from typing import Any

import pytest

from stp.config import Aligned
from stp.config_check import checked_config, read_config
from stp.setup import check as checking
from stp.setup.check import Check, check
from stp.system.machine import Memory
from tests.data.test_index import write_video

ROOT = Path(__file__).resolve().parents[2]
JOBS = dict.fromkeys(("weights", "index", "frames", "flow"), 1) | {"train": 8}
VALUES: dict[str, Any] = {
    "results": "results",
    "dataset": {"importer": "folder", "path": "videos"},
    "frames": {"width": 64, "height": 48},
    "splits": {"folds": 2},
    "modalities": ["rgb", "of"],
    "variants": ["baseline", "3-level"],
    "model": {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32},
    "training": {"seeds": [0, 1]},
    "compute": {"device": "cpu", "mem_mb": 500},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: two classes of two videos, of 12 frames each."""
    for label in ("nod", "wave"):
        for number in range(2):
            write_video(tmp_path / f"videos/{label}/{number}.mp4", frames=12)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(jobs: dict[str, int] = JOBS, here: bool = True, **changes: Any) -> Check:
    return check(checked_config(VALUES | changes)[1], jobs, here)


def test_a_config_that_can_run_has_no_problems_and_its_numbers(folder: Path) -> None:
    found = checked()
    assert found.problems == []
    assert (found.clips, found.classes, found.runs) == (4, 2, 2 * 2 * 2 * 2)
    fields = 4 * 12 * 64 * 48 * (3 + 2)
    assert fields < found.bytes < fields + 8 * 4 * 200_000  # and 8 models of a small network


def test_all_problems_are_found_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setattr(checking, "process_memory", lambda: Memory(10**9, 10**9))
    monkeypatch.setattr(checking, "free_disk", lambda path: 1000)
    (folder / "videos/nod/0.mp4").write_text("no video")
    problems = checked(
        model={"backbone": "bninception"}, splits={"folds": 3}, compute={"mem_mb": 16000}, explain={"clips": ["nod/7"]}
    ).problems
    assert [line.partition(" ")[0] for line in problems] == [
        *("model.weights:", "config:", "splits.folds:", "dataset.path:", "compute.mem_mb:", "results:")
    ]
    assert problems[1].startswith("config: explain.clips: 'nod/7' is no clip of the data set")
    assert problems[2].startswith("splits.folds: 3 folds need 3 clips of every class, but 'nod' has 2")
    assert problems[3].startswith("dataset.path: 1 of 4 videos looked at do not open, as 'videos/nod/0.mp4' cannot be")
    assert problems[4].startswith("compute.mem_mb: a training takes 14.9 GiB by the config, and this machine has 953.7")
    assert problems[5].startswith("results: 'results' needs ")


def test_missing_videos_and_weights_are_named_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder))
    dataset = {"importer": "pev", "path": "absent", "lists": "lists"}
    weights, videos = checked(dataset=dataset, model={"backbone": "bninception"}).problems
    assert weights.startswith("model.weights: ")
    assert f"at '{folder}/" in weights
    assert videos.startswith("dataset.lists: folder 'lists' does not exist")


def test_only_what_the_jobs_need_is_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "process_memory", lambda: Memory(10**9, 10**9))
    changes: dict[str, Any] = {"model": {"backbone": "bninception", "weights": "absent.pth"}}
    changes |= {"compute": {"mem_mb": 16000}, "dataset": {"importer": "folder", "path": "absent"}}
    assert checked({"table1": 1}, **changes).problems == []
    assert [line.partition(":")[0] for line in checked({"index": 1}, **changes).problems] == ["dataset.path"]
    assert [line.partition(":")[0] for line in checked({"train": 1}, **changes).problems] == ["compute.mem_mb"]
    assert checked({"train": 1}, here=False, **changes).problems == []


def test_fields_that_are_there_need_no_room(folder: Path) -> None:
    whole = checked({"frames": 1, "flow": 1, "index": 1}).bytes
    (folder / "results/clips/rgb").mkdir(parents=True)
    (folder / "results/clips/rgb/0.h5").write_bytes(bytes(10_000))
    assert checked({"frames": 1, "flow": 1, "index": 1}).bytes == whole - 10_000


def test_the_demo_needs_no_videos(folder: Path) -> None:
    demo, dataset = {"clips_per_class": 4, "frames": 24}, {"importer": "demo", "path": "results/videos"}
    found = checked(demo=demo, dataset=dataset)
    assert (found.problems, found.clips, found.classes) == ([], 28, 7)


def of_the_demo(variants: list[str], frames: int = 24, modalities: tuple[str, ...] = ("of",), **aligned: Any) -> Check:
    """A check of clips of the demo, of so many frames, by pyramids of 20."""
    demo = {"clips_per_class": 4, "frames": frames}
    dataset = {"importer": "demo", "path": "results/videos"}
    return checked(demo=demo, dataset=dataset, variants=variants, modalities=list(modalities), aligned=aligned)


def test_an_aligned_variant_whose_segments_are_longer_than_the_clips_is_a_warning(folder: Path) -> None:
    """24 frames are 23 fields of flow: a segment of 25 runs over by 2; one of 30 has a sub-segment without a field."""
    found = of_the_demo(["baseline", "aligned-3-level", "aligned-2-level"], extra_subsegments=9)
    assert found.problems == []
    assert found.warnings == [
        f"aligned.extra_subsegments: 9 makes segments of 65 flow fields for {name}, where most clips have 23 or fewer; "
        "the rest repeats the last: give 1 or less"
        for name in ("aligned-3-level", "aligned-2-level")
    ]
    assert len(of_the_demo(["aligned-3-level"], extra_subsegments=2).warnings) == 1
    assert of_the_demo(["aligned-3-level"], extra_subsegments=1).warnings == []
    assert of_the_demo(["baseline", "3-level"], extra_subsegments=9).warnings == []
    assert of_the_demo(["aligned-3-level"], 72, extra_subsegments=9).warnings == []


def test_a_pyramid_that_is_as_long_as_the_clips_cannot_slide(folder: Path) -> None:
    (line,) = of_the_demo(["aligned-3-level"], 16, ("rgb", "of"), extra_subsegments=1).warnings
    assert line == (
        "aligned.extra_subsegments: 1 makes segments of 25 frames for aligned-3-level, where most clips have 16 or "
        "fewer; the rest repeats the last: train 3-level instead"
    )
    assert of_the_demo(["aligned-3-level"], 16, extra_subsegments=0).warnings == []


@pytest.mark.parametrize(
    ("path", "aligned"),
    [("config.yaml", Aligned(3, 1, 1.0, "learned")), ("config/demo_anywhere.yaml", Aligned(1, 9, 1.0, "uniform"))],
)
def test_the_demos_have_the_phases_that_they_were_measured_with(folder: Path, path: str, aligned: Aligned) -> None:
    values = read_config(ROOT / path)
    config = checked_config(values | {"variants": ["baseline", "3-level", "aligned-3-level"]})[1]
    assert config.aligned == aligned
    assert check(config, {"train": 1}, here=False).warnings == []


def test_the_clips_of_a_folder_are_looked_at_for_their_length(folder: Path) -> None:
    """Four clips have 12 frames; six more of 40 are most of the clips. A segment has 35 fields."""
    chosen: dict[str, Any] = {"variants": ["aligned-1-level"], "aligned": {"extra_subsegments": 3}}
    found = checked(**chosen)
    assert (found.frames, len(found.warnings), found.problems) == (12, 1, [])
    for label in ("nod", "wave"):
        for number in (2, 3, 4):
            write_video(folder / f"videos/{label}/{number}.mp4", frames=40)
    found = checked(**chosen)
    assert (found.frames, found.warnings, found.problems) == (40, [], [])


def test_methods_that_need_first_person_video_are_a_problem_where_there_is_none(folder: Path) -> None:
    methods = {"views": {"method": "mpov", "inputs": ["displacement"]}}
    (line,) = checked(methods=methods).problems
    assert line.startswith("methods.views needs first-person video, which 4 of 4 clips lack, such as 'nod/0': ")
    demo: dict[str, Any] = {
        "dataset": {"importer": "demo", "path": "results/videos"},
        "demo": {"frames": 24, "clips_per_class": 2},
    }
    without, both = (
        checked(JOBS | more, methods=methods, **demo) for more in ({}, {"first_person": 1, "frames_first": 1})
    )
    assert both.problems == []
    assert both.bytes - without.bytes == 14 * 24 * 3 * 64 * 48
