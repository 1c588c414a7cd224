"""stp init: the survey of a folder of videos, the choices, and the config."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.index import Clip
from stp.errors import UserError
from stp.setup.draft import (
    GIB,
    Draft,
    Resources,
    config_text,
    cpu_minutes,
    draft,
    flow_bound,
    frame_size,
    settled_epochs,
    time_words,
)
from stp.setup.survey import Survey, Video, motion, survey_folder, survey_text
from stp.video.decoding import VideoFacts, even_times
from tests.data.test_index import write_video
from tests.workflow.test_workflow import jobs, snakemake

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
CPU = Resources(2, 12 * GIB, 100 * GIB, False, Path("absent.pth"))
GPU = Resources(16, 64 * GIB, 100 * GIB, True, Path("absent.pth"))


def seen(counts: dict[str, int], width: int = 320, height: int = 240, frames: int = 60) -> Survey:
    facts = VideoFacts(frames, width, height, 30.0, even_times(frames, 30.0))
    return Survey(tuple(Video(Clip(f"{k}/{i}", "", k), facts) for k, n in counts.items() for i in range(n)))


def config_of(survey: Survey, resources: Resources, folder: str = "videos", motion: float = 5.2) -> dict[str, Any]:
    """The drafted config, after the schema has taken it."""
    chosen = draft(survey, Path(folder), Path("results/own") / folder, motion, resources)
    config: dict[str, Any] = yaml.safe_load(config_text(survey, chosen, resources))
    jsonschema.validate(config, SCHEMA)
    return config


def test_videos_of_different_rates_get_the_lowest() -> None:
    slow, other = seen({"a": 2}).videos
    fast = replace(other, facts=replace(other.facts, rate=50.0))
    assert config_of(Survey((slow, fast)), CPU)["frames"]["fps"] == 30
    assert "fps" not in config_of(Survey((slow, other)), CPU)["frames"]


@pytest.mark.parametrize("resources", [CPU, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("folder", ["videos", "/data/my: own #1", "a'b\"c\\d\né"])
def test_config_is_valid_whatever_the_folder_is_called(resources: Resources, folder: str) -> None:
    config = config_of(seen({"nod": 4, "wave": 6}), resources, folder)
    assert config["dataset"] == {"importer": "folder", "path": folder}
    assert "on_bad_video" not in config


def test_recipe_follows_the_machine() -> None:
    survey = seen({"nod": 40, "wave": 60})
    paper, small = config_of(survey, GPU), config_of(survey, CPU)
    assert (paper["model"]["backbone"], paper["frames"]) == ("bninception", {"width": 340, "height": 256})
    assert "training" not in paper
    assert "variants" not in paper
    assert (small["model"]["backbone"], small["frames"]) == ("efficientnet_lite0", {"width": 170, "height": 128})
    assert small["compute"]["gpus"] == 0


def test_folds_are_no_more_than_the_rarest_class() -> None:
    assert config_of(seen({"nod": 2, "wave": 9}), CPU)["splits"]["folds"] == 2
    assert config_of(seen({"nod": 3, "wave": 9}), CPU)["splits"]["folds"] == 3
    assert config_of(seen({"nod": 50, "wave": 90}), CPU)["splits"]["folds"] == 3


def test_frames_are_upright_or_small_where_the_videos_are() -> None:
    sizes = {(width, height): frame_size(seen({"a": 3}, width, height), True) for width, height in SIZES}
    assert sizes == SIZES


SIZES = {
    (320, 180): (340, 256),
    (1920, 1080): (340, 256),
    (1080, 1920): (256, 340),
    (160, 120): (160, 120),
    (20, 20): (32, 32),
}


def test_bound_covers_the_motion_that_was_measured() -> None:
    assert [flow_bound(pixels) for pixels in (0.0, 3.2, 19.7, 70.0)] == [2, 4, 20, 70]
    text = config_text(*drafted(seen({"nod": 4, "wave": 6}), motion=19.7))
    assert (
        "bound: 20  # +-20 pixels/frame map to 0..255; 99.9 % of the flow of every pair looked at is below 19.7\n"
        in text
    )
    text = config_text(*drafted(seen({"nod": 4, "wave": 6}), motion=33.0))
    assert "is below 33.0; more than the paper's 20, so look for cuts between scenes" in text


def drafted(survey: Survey, motion: float = 5.2) -> tuple[Survey, Draft, Resources]:
    """What a config for a CPU is written from."""
    return survey, draft(survey, Path("videos"), Path("results/own/videos"), motion, CPU), CPU


def test_groups_become_the_configs(tmp_path: Path) -> None:
    for number, name in enumerate(("nod/ann_1", "nod/bob_1", "wave/ann_2", "wave/bob_2", "nod/cy_1", "wave/cy_1")):
        write_video(tmp_path / f"videos/{name}.mp4", frames=12 + number)
    survey = survey_folder(tmp_path / "videos", 1, options={"group": r"/(\w+)_"})
    config = config_of(survey, CPU)
    assert config["dataset"]["options"] == {"group": r"/(\w+)_"}
    assert (config["splits"]["scheme"], config["splits"]["folds"]) == ("grouped", 3)
    table = tmp_path / "groups.csv"
    table.write_text("clip,group\n" + "".join(f"{video.clip.clip},{n % 2}\n" for n, video in enumerate(survey.videos)))
    config = config_of(survey_folder(tmp_path / "videos", 1, lists=table), CPU)
    assert config["dataset"] == {"importer": "folder", "path": "videos", "lists": str(table)}
    assert (config["splits"]["scheme"], config["splits"]["folds"]) == ("grouped", 2)


def test_shards_and_storage_follow_the_amount() -> None:
    few = config_of(seen({"nod": 10, "wave": 10}), CPU)
    assert (few["shards"], few["storage"]["format"]) == (3, "raw")
    many = config_of(seen({"nod": 5000, "wave": 5000}, frames=200), GPU)
    assert (many["shards"], many["storage"]["format"]) == (122, "jpeg")


def test_time_is_that_of_the_measured_run() -> None:
    """UT-Interaction: 120 clips of 113 frames, 33.7 minutes on 2 cores."""
    survey = seen({str(k): 20 for k in range(6)}, frames=113)
    chosen = draft(survey, Path("videos"), Path("results"), 9.0, CPU)
    assert chosen.bound == 9
    measured = replace(chosen, epochs={"rgb": 16, "flow": 30})
    assert cpu_minutes(survey, measured, 2) == pytest.approx(33.7, rel=0.15)


def test_more_clips_take_no_fewer_epochs_and_more_classes_take_more_steps() -> None:
    few, usual = settled_epochs(80, 6), settled_epochs(145, 10)
    assert all(usual[stream] >= few[stream] for stream in few)
    assert all(145 * usual[stream] / 10 >= 80 * few[stream] / 6 for stream in few)
    assert settled_epochs(100_000, 50) == few
    assert settled_epochs(1, 50) == {stream: 5 * number for stream, number in few.items()}


def test_the_papers_recipe_says_when_clips_are_few() -> None:
    texts = []
    for clips in (20, 500):
        survey = seen({"nod": clips, "wave": clips})
        texts.append(config_text(survey, draft(survey, Path("videos"), Path("results"), 5.0, GPU), GPU))
    assert "they are 80 steps of SGD for RGB, where the paper's are 1520. If `stp runs` says" in texts[0]
    assert "steps of SGD" not in texts[1]


def test_parts_of_a_long_video_are_surveyed_each_on_its_own(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", frames=60)
    table = tmp_path / "clips.csv"
    table.write_text(
        "path,label,start,end\nlong.mp4,nod,0,0.4\nlong.mp4,nod,0.4,1\nlong.mp4,wave,1,2\nlong.mp4,wave,2,\n"
    )
    survey = survey_folder(tmp_path, 1, "list", table)
    assert [video.facts.frames for video in survey.videos] == [10, 15, 25, 10]
    assert survey.left_out.videos == ()
    config = config_of(survey, CPU)
    assert config["dataset"] == {"importer": "list", "path": "videos", "lists": str(table)}


def test_a_longer_run_is_told_with_its_cost() -> None:
    survey, chosen, _ = drafted(seen({str(k): 20 for k in range(6)}, frames=113))
    words = time_words(survey, chosen, 2)
    once, twice = cpu_minutes(survey, chosen, 2), cpu_minutes(survey, chosen, 2, 2)
    assert once < twice < 2 * once
    assert once < 120
    later = f"{twice / 60:.1f} hours" if twice >= 120 else f"{math.ceil(twice)} minutes"
    assert words == f"about {math.ceil(once)} minutes, flow and scores included; with twice the epochs, {later}"
    assert f"2 processors take {words}.\n" in config_text(survey, chosen, CPU)


def test_bad_videos_and_other_files_are_listed_and_skipped(tmp_path: Path) -> None:
    for label in ("nod", "wave"):
        for number in range(3):
            write_video(tmp_path / f"videos/{label}/{number}.mp4", frames=12 + number)
    (tmp_path / "videos/nod/broken.mp4").write_text("no video")
    (tmp_path / "videos/nod/0.boxes.csv").write_text("frame,x0,y0,x1,y1\n")
    (tmp_path / "videos/wave/notes.txt").write_text("no video either")
    survey = survey_folder(tmp_path / "videos", 1)
    assert survey.classes == {"nod": 3, "wave": 3}
    text = survey_text(survey)
    assert f"1 do not decode:\n  {tmp_path}/videos/nod/broken.mp4: cannot be opened as a video" in text
    assert f"1 left out, no videos by their names:\n  {tmp_path}/videos/wave/notes.txt" in text
    assert "length  12 to 14 frames, median 13; 0.5 to 0.6 s at 25 frames/s\nsize    64x48 pixels" in text
    assert config_of(survey, CPU)["on_bad_video"] == "skip"


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        (["nod/1", "nod/2"], "has one class, 'nod'"),
        (["nod/1", "nod/2", "wave/1"], "class 'wave' has 1 clips that decode"),
    ],
)
def test_folder_with_nothing_to_learn_is_refused(tmp_path: Path, clips: list[str], words: str) -> None:
    for clip in clips:
        write_video(tmp_path / f"{clip}.mp4")
    with pytest.raises(UserError, match=words):
        survey_folder(tmp_path, 1)


def test_motion_is_measured_in_pixels_of_the_stored_frames(tmp_path: Path) -> None:
    """A texture that moves by 4 pixels a frame, and by 2 at half the size."""
    path, shift = tmp_path / "move.mp4", 4
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 128))
    noise = np.random.default_rng(0).integers(0, 255, (128, 200), np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 5).astype(np.float32)
    texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    for t in range(8):
        writer.write(cv2.cvtColor(texture[:, shift * t : shift * t + 160], cv2.COLOR_GRAY2BGR))
    writer.release()
    video = Video(Clip("move", str(path), "a"), VideoFacts(8, 160, 128, 25, even_times(8, 25)))
    whole, half = motion([video], 160, 128), motion([video], 80, 64)
    assert shift * 0.9 < whole < shift * 3
    assert half == pytest.approx(whole / 2, rel=0.4)
    still = Video(Clip("still", "", "a"), VideoFacts(1, 64, 48, 25, even_times(1, 25)))
    assert motion([still], 64, 48) == 0


def test_command_writes_a_config_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for label in ("nod", "wave"):
        for number in range(2):
            write_video(tmp_path / f"clips/{label}/{number}.mp4")
    result = CliRunner().invoke(app, ["init", "clips"])
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().splitlines()[-1].strip().startswith("stp run clips.yaml")
    text = (tmp_path / "clips.yaml").read_text()
    epochs = yaml.safe_load(text)["training"]
    told = f"epochs  {epochs['rgb']['epochs']} of RGB, {epochs['flow']['epochs']} of flow: about "
    assert told in result.stdout
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("clips", "clips.yaml")] == []
    run = snakemake(tmp_path, yaml.safe_load(text), "--dry-run", "--quiet", "rules")
    assert {"frames", "flow", "train", "score", "table1"} <= jobs(run).keys(), run.stdout
    other = CliRunner().invoke(app, ["init", "clips", "-o", "other.yaml"])
    assert other.exit_code == 0, other.output
    assert yaml.safe_load((tmp_path / "other.yaml").read_text())["results"] == "results/own/other"
    refused = CliRunner().invoke(app, ["init", "clips"])
    assert isinstance(refused.exception, UserError)
    assert "exists and is left as it is" in str(refused.exception)
    assert (tmp_path / "clips.yaml").read_text() == text


def test_results_do_not_land_among_the_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clips/nod/0.mp4")
    monkeypatch.chdir(tmp_path / "clips")
    refused = CliRunner().invoke(app, ["init", "."])
    assert isinstance(refused.exception, UserError)
    assert "FOLDER: '.' would hold its own results, 'results/own/clips'; call stp init from outside" in str(
        refused.exception
    )
    assert not (tmp_path / "clips/clips.yaml").exists()
