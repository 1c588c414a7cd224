"""The workflow as a user runs it: a tiny DAG from videos to the table, and what a user's mistakes look like."""

from __future__ import annotations

import atexit
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image

from stp.config import Fusion, Views
from stp.data.index import read_index
from stp.data.shards import ClipFields
from stp.evaluation.scores import read_scores
from stp.models.convnet import ConvNet
from stp.predict.ensemble import load_ensemble
from stp.predict.videos import predict_video
from stp.system.tables import read_table
from tests.campaign.command import Launcher
from tests.data.test_index import write_video

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parents[2]

TINY: dict[str, Any] = {
    "results": "o u t",  # quoting is tested along the way
    "dataset": {"importer": "demo", "path": "o u t/videos"},
    "demo": {"clips_per_class": 4, "frames": 24, "actors": 2},
    "shards": 2,
    "frames": {"width": 64, "height": 48},
    "storage": {"format": "jpeg", "quality": 90},  # here and below no default, so that a key that gets lost is noticed
    "flow": {"bound": 4, "semantics": "opencv-cuda"},
    "warped_flow": {"detector": "sift"},
    "fusion": {"space": "probabilities"},
    "splits": {"scheme": "grouped", "folds": 2},
    "variants": ["baseline", "3-level"],
    "model": {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32},
    "training": {"partial_bn": False, "rgb": {"epochs": 1}, "flow": {"epochs": 1}},
    "scoring": {"segments": 2, "crops": 1},
    "compute": {"device": "cpu", "gpus": 0, "threads": 1, "mem_mb": 500},
}
# How all keys of compute differ from those of TINY that no result depends on.
ELSEWHERE = {
    "device": "cuda:1",
    "resident": "never",
    "memory_share": 0.5,
    "gpu_share": 2,
    "compile": "never",
    "threads": 2,
}
# Prints every folder that Snakemake lists.
LISTING = """
import runpy, sys
sys.addaudithook(lambda event, arguments: print("lists", arguments[0]) if event == "os.scandir" else None)
runpy.run_module("snakemake", run_name="__main__")
"""
# What is made again from other scores.
FROM_SCORES = {
    **dict.fromkeys(("table1", "comparison", "metrics", "statistics", "claims", "differences", "predictions"), 1),
    **{"confusion": 6, "classes": 1, "overview": 1, "table_page": 6, "config_page": 1},
}


def command(folder: Path, *arguments: str) -> list[str]:
    """Run the project's Snakefile in `folder` with the config there."""
    snakefile = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*snakefile, "--configfile", str(folder / "config.yaml"), "--cores", "2", *arguments]


@cache
def launcher() -> Launcher:
    """A process that has imported Snakemake and forks for each call, because imports take half of a dry run's time."""
    made = Launcher(Path(tempfile.mkdtemp()), imported=("snakemake.cli", "stp.config_check"))
    atexit.register(made.close)
    return made


def forked(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of Snakemake in a fork of the launcher; `stdout` is what it says on both outputs."""
    words = command[command.index("snakemake") :]
    ended = launcher().run(*words, cwd=cwd or Path.cwd(), seconds=3600, environment=dict(os.environ))
    assert not ended.hung, ended.stderr
    return subprocess.CompletedProcess(command, ended.code, ended.stdout + ended.stderr)


def snakemake(folder: Path, config: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the project's Snakefile in `folder` with `config`."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return forked(command(folder, *arguments))


def jobs(result: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    found = re.findall(r"^(\w+) +(\d+)$", result.stdout, re.MULTILINE)
    return {name: int(number) for name, number in found if name not in ("total", "all")}


def recorded(folder: Path) -> dict[str, set[tuple[str, ...]]]:
    """Rule -> the params that Snakemake has recorded of its jobs."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for path in (folder / ".snakemake/metadata").iterdir():
        record = json.loads(path.read_text())
        found.setdefault(record["rule"], set()).add(tuple(record["params"]))
    return found


def index_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """A config for videos of the user's own."""
    config = {key: value for key, value in TINY.items() if key != "demo"}
    return config | {"dataset": {"importer": "folder", "path": str(folder)}} | changes


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny DAG has run to its end."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.yaml").write_text(yaml.safe_dump(TINY))
    as_a_user = command(folder)  # in a process of its own, and what it says in the terminal's order
    result = subprocess.run(as_a_user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 0, result.stdout
    (folder / "terminal.txt").write_text(result.stdout)
    return folder


def first_clips(folder: Path) -> list[str]:
    """Names of the first clip of each of the first four classes, as files are called."""
    clips = {clip.label: clip.clip for clip in reversed(read_index(folder / "o u t/index.csv").clips)}
    return sorted(clips[label].replace("/", "__") for label in read_index(folder / "o u t/index.csv").classes[:4])


def view(page: Page, category: str, label: str) -> None:
    """Click a category of the report, and the eye beside one of its results."""
    page.get_by_text("Results", exact=True).first.click()
    page.get_by_text(category, exact=True).click()
    page.get_by_role("row", name=label, exact=True).locator("a").first.click()


def pixels(image: Locator) -> int:
    """Width of an image's file; 0 if the browser could not draw it."""
    from playwright.sync_api import expect

    expect(image).to_be_visible()
    width: int = image.evaluate("async image => { await image.decode(); return image.naturalWidth }")
    return width


def test_tiny_dag_makes_the_table(finished: Path) -> None:
    rows = list(csv.DictReader((finished / "o u t/table1.csv").open()))
    assert [row["Input Modality"] for row in rows] == ["RGB", "OF", "WOF", "RGB+OF", "OF+WOF", "RGB+OF+WOF"]
    assert list(rows[0]) == ["Input Modality", "Baseline", "3-Level"]
    assert all(0 <= float(row[column]) <= 100 for row in rows for column in ("Baseline", "3-Level"))
    long = list(csv.DictReader((finished / "o u t/table1_long.csv").open()))
    assert len(long) == 6 * 2 * 3
    assert sum(int(row["clips"]) for row in long if row["fold"] == "mean") == 6 * 2 * 28
    assert "2 folds of 14, 14 test clips" in (finished / "o u t/table1.md").read_text()


def test_a_run_shows_a_line_for_each_job_and_few_others(finished: Path) -> None:
    lines = (finished / "terminal.txt").read_text().splitlines()
    steps = [line for line in lines if re.fullmatch(r"\d+ of \d+ steps \(\d+%\) done", line)]
    assert len(steps) > 50
    assert len(lines) < len(steps) + 50, "\n".join(lines)
    [log] = (finished / ".snakemake/log").glob("*.log")
    assert len(re.findall(r"^Finished jobid: ", log.read_text(), re.MULTILINE)) == len(steps)


def test_keys_of_the_config_reach_the_files(finished: Path) -> None:
    parameters = ClipFields(sorted((finished / "o u t/clips/wof").glob("*.h5"))).parameters
    assert (parameters["bound"], parameters["tvl1"]["semantics"], parameters["detector"]) == (4, "opencv-cuda", "sift")
    assert parameters["storage"] == parameters["frames"]["storage"] == {"format": "jpeg", "quality": 90}
    assert "weighted average of probabilities" in (finished / "o u t/table1.md").read_text()


def test_tiny_dag_makes_confusion_matrices_of_every_fusion(finished: Path) -> None:
    names = {path.name for path in (finished / "o u t/confusion").iterdir()}
    expected = {
        f"{streams}_{variant}{fold}.{suffix}"
        for streams in ("rgb+of", "of+wof", "rgb+of+wof")
        for variant in ("baseline", "3-level")
        for fold in ("", "_fold1", "_fold2")
        for suffix in ("png", "pdf", "csv")
    }
    assert names == expected
    rows = list(csv.reader((finished / "o u t/confusion/rgb+of+wof_3-level.csv").open()))
    assert rows[0][1:] == [row[0] for row in rows[1:]]
    assert [sum(int(value) for value in row[1:]) for row in rows[1:]] == [4] * 7


def test_tiny_dag_compares_with_what_others_report(finished: Path) -> None:
    rows = {row["method"]: row for row in csv.DictReader((finished / "o u t/table2.csv").open())}
    assert [row["reported"] for row in rows.values()] == ["43.0", "53.8", "69.0", "77.7", "81.7"]
    table1 = {row["Input Modality"]: row for row in csv.DictReader((finished / "o u t/table1.csv").open())}
    fused = table1["RGB+OF+WOF"]
    measured = [float(fused["Baseline"]), float(fused["3-Level"])]
    assert [round(float(rows[name]["measured"]), 2) for name in ("TSN [3]", "Proposed")] == measured
    assert {row["measured_on"] for row in rows.values()} == {"", "demo (o u t)"}
    statistics = list(csv.DictReader((finished / "o u t/statistics.csv").open()))
    assert [(row["input"], row["variant"]) for row in statistics[-2:]] == [
        ("RGB+OF+WOF", "baseline"),
        ("RGB+OF+WOF", "3-level"),
    ]
    claims = {row["claim"]: row["family"] for row in csv.DictReader((finished / "o u t/claims.csv").open())}
    assert claims["The proposed method beats TSN"] == "paper"
    assert list(claims.values()).count("class") == 7
    assert not any("2 levels" in claim for claim in claims)
    metrics = list(csv.DictReader((finished / "o u t/metrics.csv").open()))[-1]
    assert round(float(metrics["class_accuracy"]), 2) == measured[1]


def test_tiny_dag_puts_every_table_and_figure_on_one_page(finished: Path) -> None:
    figures = {path.name for path in (finished / "o u t/figures").rglob("[!.]*.*")}
    runs = [f"training/{name}_{variant}" for name in ("rgb", "of", "wof") for variant in ("baseline", "3-level")]
    assert figures == {
        *(f"{run.split('/')[1]}.{suffix}" for run in runs for suffix in ("png", "pdf")),
        *(f"{name}.{suffix}" for name in ("figure3", "figure4") for suffix in ("png", "pdf")),
        *(f"classes_table2.{suffix}" for suffix in ("png", "pdf", "csv")),
        *(f"{clip}.{suffix}" for clip in first_clips(finished) for suffix in ("png", "pdf", "mp4")),
    }
    page = (finished / "o u t/index.html").read_text()
    cells = 6 * 2  # inputs and variants
    # Matrices, Figures 3 and 4, examples; trainings of one epoch have no curves.
    assert page.count("<figure>") == cells + 2 + 4
    assert page.count('data-matrix="') == cells
    titles = ("Table 1", "Table 2", "Claims", "Differences", "Statistics", "Metrics")
    assert [f"<summary>{title}</summary>" in page for title in titles] == [True] * 6
    assert "&#34;clips_per_class&#34;: 4" in page
    links = {unquote(link) for link in re.findall(r'href="([^"#]*)"', page)}
    made = {path.relative_to(finished / "o u t") for kind in ("csv", "pdf") for path in finished.rglob(f"*.{kind}")}
    assert {path.as_posix() for path in made if path.parts[0] not in ("videos", "clips")} <= links


def test_figure_3_takes_unseen_clips_of_the_first_seeds_runs_and_what_is_trained(finished: Path) -> None:
    page = (finished / "o u t/index.html").read_text()
    words = "Figure 3: guided Grad-CAM of clips that the runs of fold 1 did not see, picked by seed 0: "
    assert page.count(f"<figcaption>{words}") == 1
    made = json.loads(Image.open(finished / "o u t/figures/figure3.png").info["Description"])
    assert made["runs"] == [
        f"{name}/fold1/seed0" for name in ("rgb/baseline", "rgb/3-level", "of/baseline", "of/3-level")
    ]
    _, tested = read_table(finished / "o u t/splits/fold1.csv")
    assert set(made["clips"]) <= {row["clip"] for _, row in tested if row["set"] == "test"}
    assert len({clip.split("/")[0] for clip in made["clips"]}) == len(made["clips"]) == 4


def test_page_of_everything_opens_offline(finished: Path, offline: Page) -> None:
    from playwright.sync_api import expect

    offline.goto((finished / "o u t/index.html").as_uri())
    expect(offline.get_by_role("heading", name="Class accuracy in %", exact=True)).to_be_visible()
    offline.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert [pixels(image) > 100 for image in offline.locator("img").all()] == [True] * 6
    offline.locator("#input").select_option("RGB")
    expect(offline.locator("#wrong figure").first).to_be_visible()
    address = str(offline.locator("#wrong video").first.get_attribute("src"))
    assert address.startswith("videos/")  # the demo's own file
    offline.locator("#wrong button").first.click()
    video = offline.locator("#wrong video").first.element_handle()
    offline.wait_for_function("video => video.currentTime > 0.05", arg=video)


def test_report_opens_offline_and_shows_tables_figures_clips_config_and_times(finished: Path, offline: Page) -> None:
    from playwright.sync_api import expect

    report = finished / "report.html"
    style = str(ROOT / "workflow/report/style.css")
    result = snakemake(finished, TINY, "--report", str(report), "--report-stylesheet", style)
    assert result.returncode == 0, result.stdout
    offline.goto(report.as_uri())
    expect(offline.get_by_role("heading", name="Recognising micro actions in videos")).to_be_in_viewport()
    shown = offline.locator("iframe").content_frame
    view(offline, "1 Tables", "Table 1")
    expect(shown.get_by_role("cell", name="RGB+OF+WOF", exact=True)).to_be_visible()
    offline.get_by_role("row", name="Table 1", exact=True).locator("a").last.click()
    expect(offline.get_by_text("class accuracy in percent")).to_be_visible()
    clip = first_clips(finished)[0].replace("__", "/")
    for category, label in (("2 Confusion matrices", "RGB+OF+WOF, 3-level"), ("5 Sample clips", clip)):
        view(offline, category, label)
        assert pixels(offline.locator("img[src^='data:image/png']")) > 100
    view(offline, "7 Config and versions", "Config and versions")
    expect(shown.get_by_text('"clips_per_class": 4')).to_be_visible()
    offline.get_by_text("Results", exact=True).first.click()
    offline.get_by_text("Statistics", exact=True).click()
    expect(offline.locator("#runtimes canvas")).to_be_visible()


def test_a_clips_name_does_not_end_the_reports_script(finished: Path, tmp_path: Path, offline: Page) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    names = ["..＜__script>＜img src=x onerror=alert(1)>", "＜!--＜script>"]
    for name in names:
        shutil.copy(
            next((folder / "o u t/figures/examples").glob("*.png")), folder / f"o u t/figures/examples/{name}.png"
        )
    report = folder / "report.html"
    result = snakemake(folder, TINY, "--report", str(report))
    assert result.returncode == 0, result.stdout
    offline.goto(report.as_uri())
    for label in ("..</script><img src=x onerror=alert(1)>", "<!--<script>"):
        view(offline, "5 Sample clips", label.replace("<", "<\u2060"))
        assert pixels(offline.locator("img[src^='data:image/png']")) > 100


def test_unknown_comparison_is_one_line(tmp_path: Path) -> None:
    result = snakemake(tmp_path, TINY | {"comparison": ["table4"]}, "--dry-run")
    assert result.returncode != 0
    assert "config: comparison: 'table4' is none of ma52, table1, table2, table3, the files of" in result.stdout


def test_any_comparison_is_made_by_name_from_what_is_trained(finished: Path) -> None:
    few = TINY | {"variants": ["3-level"], "comparison": []}
    result = snakemake(finished, few, "--dry-run", "--quiet", "rules", "--", "o u t/table3.csv")
    assert jobs(result) == {"comparison": 1}, result.stdout


@pytest.mark.parametrize("modality", ["rgb", "of", "wof"])
def test_a_trained_run_predicts_a_clip_as_it_was_scored(finished: Path, modality: str) -> None:
    run = finished / f"o u t/runs/{modality}/3-level/fold1/seed0"
    scores = read_scores(run / "scores.h5")
    fusion = Fusion("scores", {modality: 1.0})
    ensemble = load_ensemble([run / "model.pt"], fusion, Views(2, 1), torch.device("cpu"))
    prediction = predict_video(ensemble, finished / f"o u t/videos/{scores.clips[3]}.mp4", torch.device("cpu"))
    expected = ensemble.probabilities({modality: [scores.video_scores()[[3]]]})
    assert np.array_equal(prediction.probabilities, expected)


def test_no_actor_is_on_both_sides_of_a_fold(finished: Path) -> None:
    sides: dict[str, set[str]] = {}
    for row in csv.DictReader((finished / "o u t/splits/fold1.csv").open()):
        sides.setdefault(row["group"], set()).add(row["set"])
    assert sorted(len(words) for words in sides.values()) == [1, 1]


def test_finished_dag_has_nothing_to_do(finished: Path) -> None:
    assert "Nothing to be done" in snakemake(finished, TINY).stdout


def test_other_fusion_weights_need_no_training(finished: Path) -> None:
    result = snakemake(finished, TINY | {"fusion": {"weights": {"of": 2}}}, "--dry-run", "--quiet", "rules")
    assert jobs(result) == FROM_SCORES, result.stdout


def test_learned_fusion_needs_no_training_and_adds_a_table(finished: Path) -> None:
    fusion = {"space": "probabilities", "learned": True}
    result = snakemake(finished, TINY | {"fusion": fusion}, "--dry-run", "--quiet", "rules")
    tables = dict.fromkeys(("table1", "claims", "differences", "metrics", "statistics", "predictions", "fusion"), 1)
    tables |= {"overview": 1, "config_page": 1, "table_page": 6}
    assert jobs(result) == tables, result.stdout


def test_other_schedule_of_flow_retrains_flow_alone(finished: Path) -> None:
    training = TINY["training"] | {"flow": {"epochs": 2}}
    result = snakemake(finished, TINY | {"training": training}, "--dry-run", "--quiet", "rules")
    assert jobs(result) == {"train": 8, "score": 8, "curves": 4, "figure3": 1} | FROM_SCORES, result.stdout


def test_single_fold_is_rerun_by_target(finished: Path) -> None:
    target = "o u t/runs/rgb/3-level/fold1/seed0/scores.h5"
    result = snakemake(finished, TINY, "--dry-run", "--quiet", "rules", "--forcerun", "train", "--", target)
    assert jobs(result) == {"train": 1, "score": 1}, result.stdout


def test_compared_networks_train_on_joint_inputs_and_features_and_fill_the_tables(
    finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    methods = {
        "tan": {"inputs": ["rgb+of"], "postures": 2, "shared_width": 8, "lstm_width": 8},
        "r2plus1d": {"inputs": ["rgb", "of"], "backbone": "r2plus1d_18", "weights": "none", "width": 0.05}
        | {"input_size": 32, "frames": 8},
        "c3d_svm": {"inputs": ["rgb"], "features": "c3d"},
    }
    features = {"c3d": {"weights": "none", "width": 0.02, "input_size": 32}}
    config = TINY | {"methods": methods, "features": features}
    tables = [f"o u t/{name}" for name in ("methods.csv", "table2.csv", "table3.csv", "confusion/rgb+of_tan.csv")]
    result = snakemake(folder, config, *tables)
    assert result.returncode == 0, result.stdout
    rows = {(row["method"], row["input"]): row for row in csv.DictReader((folder / tables[0]).open())}
    ours = [key for key in rows if key[0] not in ("baseline", "3-level")]
    fused = [("r2plus1d", name) for name in ("RGB", "OF", "RGB+OF")]
    assert ours == [("c3d_svm", "RGB"), *fused, ("tan", "RGB+OF")]  # in the order of the config's file
    for key in ours:
        row = rows[key]
        assert row["pretraining"] == "None"
        assert int(row["parameters"]) > 0
        assert row["minutes"] != ""
        assert row["p"] != ""
        assert (float(row["gmac"]) > 0) == (key[0] != "c3d_svm")
    measured = {row["variant"]: row for name in tables[1:3] for row in csv.DictReader((folder / name).open())}
    for name in ("tan", "r2plus1d", "c3d_svm"):
        assert measured[name]["measured"] != ""
        assert measured[name]["measured_pretraining"] == "None"
    assert measured["stpp"]["measured"] == ""  # not trained here
    assert "r2plus1d:rgb=0.6,of=0.4" in snakemake(folder, config, "--dry-run", "-p", "-F", tables[0]).stdout


def test_another_seed_trains_that_seed_alone(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    config = TINY | {"training": TINY["training"] | {"seeds": [0, 7]}}
    result = snakemake(folder, config, "--dry-run", "--quiet", "rules")
    assert jobs(result) == {"train": 12, "score": 12, "curves": 6} | FROM_SCORES, result.stdout
    config |= {"modalities": ["rgb"], "variants": ["baseline"]}
    assert snakemake(folder, config, "o u t/table1.csv", "o u t/confusion/rgb_baseline.csv").returncode == 0
    long = list(csv.DictReader((folder / "o u t/table1_long.csv").open()))
    assert [(row["fold"], row["seed"]) for row in long] == [
        *[("1", "0"), ("1", "7"), ("2", "0"), ("2", "7"), ("mean", "mean")]
    ]
    assert [row["class_accuracy_seed_std"] != "" for row in long] == [False] * 4 + [True]
    runs = [folder / f"o u t/runs/rgb/baseline/fold1/seed{seed}/scores.h5" for seed in (0, 7)]
    first, second = (read_scores(path) for path in runs)
    assert (first.run.seed, second.run.seed, first.clips) == (0, 7, second.clips)
    assert not np.array_equal(first.values, second.values)
    rows = list(csv.reader((folder / "o u t/confusion/rgb_baseline.csv").open()))
    assert [sum(int(value) for value in row[1:]) for row in rows[1:]] == [2 * 4] * 7


def wait_for_state(folder: Path, process: subprocess.Popen[Any]) -> None:
    """Until a training of the process has kept its first state, or the process has ended."""
    until = time.monotonic() + 120
    while not list(folder.glob("*.pt")) and process.poll() is None:
        assert time.monotonic() < until, "no state was kept"
        time.sleep(0.01)


def test_stopped_training_is_started_again_and_goes_on(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    config = TINY | {
        "training": TINY["training"] | {"rgb": {"epochs": 40}, "tensorboard": True},
        "compute": TINY["compute"] | {"retries": 1},
    }
    run = "rgb/baseline/fold1/seed0"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with subprocess.Popen(command(folder, f"o u t/runs/{run}/model.pt"), stderr=subprocess.PIPE, text=True) as process:
        wait_for_state(folder / "o u t/state" / run, process)
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.cmdline()[1:3] == ["-m", "stp"]:
                    child.send_signal(signal.SIGUSR1)
        words = process.communicate()[1]
    assert process.returncode == 0, words
    assert words.count(f"stp: WARNING: {run}: stopped by SIGUSR1 in epoch") == 1
    assert f"{run} goes on in epoch" in (folder / f"o u t/logs/train/{run}.log").read_text()
    assert [row["epoch"] for row in csv.DictReader((folder / f"o u t/runs/{run}/log.csv").open())][-1] == "40"
    assert not (folder / "o u t/state" / run).exists()
    assert list((folder / "o u t/tensorboard" / run).glob("events.*"))


def test_what_a_killed_snakemake_left_goes_on_after_unlocking(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    config = TINY | {"training": TINY["training"] | {"rgb": {"epochs": 40}}}
    run = "rgb/baseline/fold1/seed0"
    target = f"o u t/runs/{run}/model.pt"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with subprocess.Popen(command(folder, target), stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_for_state(folder / "o u t/state" / run, process)
        os.killpg(process.pid, signal.SIGKILL)
    locked = snakemake(folder, config, target)
    assert locked.returncode != 0
    assert "--unlock" in locked.stdout
    assert snakemake(folder, config, "--unlock").returncode == 0
    result = snakemake(folder, config, "--rerun-incomplete", target)
    assert result.returncode == 0, result.stdout
    assert f"{run} goes on in epoch" in (folder / f"o u t/logs/train/{run}.log").read_text()


def test_other_places_for_states_and_curves_train_nothing_again(finished: Path) -> None:
    training = TINY["training"] | {"checkpoint_minutes": 0.5, "tensorboard": True}
    assert "Nothing to be done" in snakemake(finished, TINY | {"training": training}).stdout


def test_another_device_computes_nothing_again(finished: Path) -> None:
    assert "Nothing to be done" in snakemake(finished, TINY | {"compute": TINY["compute"] | ELSEWHERE}).stdout


def test_results_are_recorded_as_version_0_1_recorded_them(finished: Path) -> None:
    """Other records would compute the results of a folder made by that version again, weeks of training included."""
    records = recorded(finished)
    assert records["score"] == {("'auto'", "'test'", "1", "2")}
    assert {(params[0], len(params)) for params in records["train"]} == {("'auto'", 2)}
    assert all(json.loads(params[1][1:-1])["backbone"] == "convnet" for params in records["train"])
    assert records["weights"] == {("'convnet'", "'none'", "0", "0.25", "32")}
    assert records["index"] == {("''", "''", "'--importer demo'", "'error'")}
    assert records["config_page"] == {("'demo (o u t)'",)}


def test_reworded_commands_compute_nothing_again(finished: Path, tmp_path: Path) -> None:
    for name in ("workflow", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "profiles").symlink_to("workflow/profiles")
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for path in (tmp_path / "workflow/rules").glob("*.smk"):
        path.write_text(path.read_text().replace("python -m stp", "python -P -m stp"))
    options = ["--snakefile", str(tmp_path / "Snakefile"), "--dry-run", "--", "o u t/table1.csv"]
    assert "Nothing to be done" in snakemake(finished, TINY, *options).stdout
    by_code = snakemake(finished, TINY, "--rerun-triggers", "code", *options)
    assert jobs(by_code)["train"] == 12, by_code.stdout


def test_keys_that_only_say_how_to_compute_reach_the_commands(tmp_path: Path) -> None:
    training = {"partial_bn": True, "checkpoint_minutes": 0.5, "tensorboard": True}
    config = TINY | {"training": training, "compute": ELSEWHERE | {"gpus": 0, "mem_mb": 500, "micro_batch_videos": 2}}
    run = "rgb/baseline/fold1/seed0"
    result = snakemake(tmp_path, config, "--dry-run", "-p", "--", f"o u t/runs/{run}/scores.h5")
    train, score = re.findall(r"python -m stp .* (?:train|score) .*", result.stdout)
    place = "--device cuda:1 --resident never --memory-share 0.25 --gpu-share 2"
    assert f" {place} --micro-batch-videos 2 --compile never --threads 2 " in train
    state = f"--state 'o u t/state/{run}' --checkpoint-minutes 0.5"
    assert f" {state} --tensorboard 'o u t/tensorboard/{run}' --device" in train
    assert f" {place} --threads 2 " in score


def test_chosen_clips_are_explained_by_the_runs_that_are_there(finished: Path) -> None:
    clip = read_index(finished / "o u t/index.csv").clips[0].clip
    config = TINY | {"explain": {"clips": [clip], "variants": ["3-level"], "fold": 2, "segments": 1}}
    result = snakemake(finished, config)
    assert result.returncode == 0, result.stdout
    assert jobs(result) == {"explain": 1, "figure3": 1, "overview": 1}, result.stdout
    assert f"<figcaption>{clip}: guided Grad-CAM of class " in (finished / "o u t/index.html").read_text()
    names = {path.name for path in (finished / "o u t/figures/explain").iterdir()}
    assert names == {f"{clip.replace('/', '__')}.{kind}" for kind in ("png", "pdf", "mp4")}
    config |= {"compute": TINY["compute"] | ELSEWHERE}
    assert "Nothing to be done" in snakemake(finished, config).stdout


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({"modalities": ["rgb", "wof"], "variants": ["2-level", "1-level"]}, ["rgb/2-level", "wof/2-level"]),
        ({"modalities": ["of", "wof"], "variants": ["baseline", "1-level"]}, ["of/baseline", "of/1-level"]),
        ({"modalities": ["rgb"], "variants": ["3-level"], "explain": {"fold": 2}}, ["rgb/3-level"]),
        ({"modalities": ["of"], "variants": ["baseline", "aligned-2-level"]}, ["of/baseline", "of/aligned-2-level"]),
        ({"explain": {"number": 0}}, []),
    ],
)
def test_figure_3_is_of_the_streams_and_variants_that_there_are(
    changes: dict[str, Any], runs: list[str], tmp_path: Path
) -> None:
    seeds = {"training": TINY["training"] | {"seeds": [3, 4]}}
    result = snakemake(tmp_path, TINY | seeds | changes, "--dry-run")
    assert result.returncode == 0, result.stdout
    inputs = re.findall(r"rule figure3:\n *input: (.*)", result.stdout)
    fold = changes.get("explain", {}).get("fold", 1)
    found = [path for line in inputs for path in line.split(", ") if path.endswith("model.pt")]
    assert found == [f"o u t/runs/{name}/fold{fold}/seed3/model.pt" for name in runs]


def test_explanations_that_cannot_be_made_name_their_key(tmp_path: Path) -> None:
    for values, words in (
        ({"fold": 3}, "config: explain.fold: 3 is none of the 2 folds of splits.folds"),
        ({"clips": ["a/b", "a__b"]}, "config: explain.clips: two of them would be written to one file"),
        ({"clips": ["a"], "variants": ["2-level"]}, "config: explain.variants: '2-level' is not trained"),
    ):
        result = snakemake(tmp_path, TINY | {"explain": values}, "--dry-run")
        assert result.returncode != 0
        assert words in result.stdout
        assert "Traceback" not in result.stdout


def test_misspelt_key_is_one_line(tmp_path: Path) -> None:
    result = snakemake(tmp_path, TINY | {"training": {"epochz": 3}}, "--dry-run")
    assert result.returncode != 0
    lines = [line for line in result.stdout.splitlines() if "epochz" in line]
    assert len(lines) == 1
    assert lines[0].startswith("config: training.epochz: unknown key; allowed are seeds, batch_videos")
    assert "Traceback" not in result.stdout


def test_wrong_value_names_its_key(tmp_path: Path) -> None:
    result = snakemake(tmp_path, TINY | {"scoring": {"crops": 3}}, "--dry-run")
    assert "config: scoring.crops: 3 is not allowed; allowed: `1`, `2`, `5`, `10`" in result.stdout


def test_submission_of_several_folds_is_refused(tmp_path: Path) -> None:
    result = snakemake(tmp_path, TINY | {"submission": "3-level"}, "--dry-run")
    assert "config: submission: '3-level' with splits.folds 2; hidden clips are scored by the one fold" in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"splits": {"folds": 1}, "submission": "2-level"}, "submission: '2-level' is not trained"),
        ({"compute": {"micro_batch_videos": 2}}, "compute.micro_batch_videos: only one batch norm may learn"),
        (
            {"training": {"partial_bn": True}, "compute": {"micro_batch_videos": 2, "compile": "always"}},
            "compute.compile: always, beside compute.micro_batch_videos",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    result = snakemake(tmp_path, TINY | changes, "--dry-run")
    assert result.returncode != 0
    assert f"config: {words}" in result.stdout
    assert "Traceback" not in result.stdout


def test_results_among_the_videos_are_refused(tmp_path: Path) -> None:
    result = snakemake(tmp_path, index_config(tmp_path), "--dry-run")
    assert result.returncode != 0
    assert f"config: results: 'o u t' lies in dataset.path '{tmp_path}'" in result.stdout


def test_pyramid_that_cannot_be_is_found_out_before_anything_else(tmp_path: Path) -> None:
    result = snakemake(tmp_path, TINY | {"pyramid": {"subsegments": 6}}, "--cores", "1")
    assert result.returncode != 0
    assert "stp: ERROR: pyramid.subsegments 6 cannot be divided into the 4 parts of variant 3-level" in result.stdout
    assert not (tmp_path / "o u t/videos").exists()


def test_videos_behind_links_are_noticed_and_hidden_files_are_not(tmp_path: Path) -> None:
    for label in ("nod", "wave"):
        write_video(tmp_path / f"elsewhere/{label}/a.mp4")
    (tmp_path / "videos").mkdir()
    for label in ("nod", "wave"):
        (tmp_path / f"videos/{label}").symlink_to(tmp_path / f"elsewhere/{label}")
    (tmp_path / "elsewhere/nod/round").symlink_to(tmp_path / "videos")
    config, index = index_config(tmp_path / "videos"), "o u t/index.csv"
    assert snakemake(tmp_path, config, index).returncode == 0
    (tmp_path / "videos/.hidden").write_text("by a file browser")
    assert "Nothing to be done" in snakemake(tmp_path, config, index).stdout
    write_video(tmp_path / "elsewhere/nod/b.mp4")
    assert jobs(snakemake(tmp_path, config, "--dry-run", "--quiet", "rules", "--", index)) == {"index": 1}


def fingerprints(folder: Path) -> set[str]:
    """The fingerprint of the user's folder as Snakemake has recorded it."""
    found = [value for params in recorded(folder)["index"] for value in params]
    return {value for value in found if re.fullmatch("'[0-9a-f]{16}'", value)}


def test_files_that_a_list_names_elsewhere_are_noticed(tmp_path: Path) -> None:
    videos, elsewhere, table = tmp_path / "videos", tmp_path / "elsewhere", tmp_path / "list.csv"
    for path in (videos / "nod/a.mp4", videos / ".hidden/b.mp4", elsewhere / "c.mp4", elsewhere / "first.mp4"):
        write_video(path)
    (elsewhere / "c.csv").write_text("frame,x0,y0,x1,y1\n")
    table.write_text(
        "path,label,boxes,first_person\n"
        "nod/a.mp4,nod,,../elsewhere/first.mp4\n"
        f".hidden/b.mp4,nod,,\n{elsewhere}/c.mp4,wave,{elsewhere}/c.csv,\n"
    )
    config = index_config(videos, dataset={"importer": "list", "path": str(videos), "lists": str(table)})
    index = "o u t/index.csv"
    result = snakemake(tmp_path, config, index)
    assert result.returncode == 0, result.stdout
    for path in (videos / "nod/a.mp4", videos / ".hidden/b.mp4", *elsewhere.iterdir()):
        written = path.stat().st_mtime_ns
        os.utime(path, ns=(written, written + 1))
        changed = jobs(snakemake(tmp_path, config, "--dry-run", "--quiet", "rules", "--", index))
        assert changed == {"index": 1}, path
        os.utime(path, ns=(written, written))
        assert "Nothing to be done" in snakemake(tmp_path, config, index).stdout


def test_a_list_of_files_in_the_folder_adds_none_to_its_fingerprint(tmp_path: Path) -> None:
    """Or results of versions that looked at the folder alone would be indexed again."""
    videos = tmp_path / "videos"
    for name in ("nod/a.mp4", "nod/b.mp4", "wave/c.mp4", "wave/d.mp4"):
        write_video(videos / name)
    (tmp_path / "link").symlink_to(videos)
    table = tmp_path / "list.csv"
    table.write_text(
        f"path,label\nnod/a.mp4,nod\n{videos}/nod/b.mp4,nod\nwave/c.mp4,wave\n{tmp_path}/link/wave/d.mp4,wave\n"
    )
    listed = {"importer": "list", "path": str(videos), "lists": str(table)}
    assert snakemake(tmp_path, index_config(videos), "o u t/index.csv").returncode == 0
    of_folder = fingerprints(tmp_path)
    assert snakemake(tmp_path, index_config(videos, dataset=listed), "o u t/index.csv").returncode == 0
    assert fingerprints(tmp_path) == of_folder
    assert len(of_folder) == 1


def test_only_the_index_looks_at_the_videos(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for label in ("nod", "wave"):
        write_video(videos / f"{label}/a.mp4")
    config, index = index_config(videos), "o u t/index.csv"
    assert snakemake(tmp_path, config, index).returncode == 0

    def listed(*arguments: str) -> set[str]:
        listing = [sys.executable, "-c", LISTING, *command(tmp_path)[3:], "--dry-run", *arguments]
        result = subprocess.run(listing, capture_output=True, text=True, check=True)
        return set(re.findall(rf"^lists ({videos}.*)$", result.stdout, re.MULTILINE))

    assert listed("--", index) == {str(videos), str(videos / "nod"), str(videos / "wave")}
    assert listed("--", "o u t/weights.json") == set()
    assert listed("--allowed-rules", "frames", "--target-jobs", "frames:shard=0") == set()  # as a cluster job's does


def failure(tmp_path: Path, config: dict[str, Any]) -> str:
    """The project's own words in a failing run of the index."""
    result = snakemake(tmp_path, config, "o u t/index.csv")
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "o u t/index.csv").exists()
    words = result.stdout[result.stdout.index("stp: ERROR: ") :]
    return words.split("\n[")[0].split("\nRuleException")[0]


def test_a_method_that_needs_first_person_video_says_so_before_anything_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "videos/wave").mkdir(parents=True)
    (tmp_path / "videos/wave/a.avi").write_text("no video")
    words = failure(tmp_path, index_config(tmp_path / "videos", methods={"mpov": {"inputs": ["displacement"]}}))
    assert re.fullmatch(r"stp: ERROR: methods.mpov needs first-person video, which 1 of 1 clips lack, [^\n]*\n*", words)


def test_the_demos_first_person_videos_are_made_only_for_methods_that_see_them(tmp_path: Path) -> None:
    config = TINY | {"methods": {"views": {"method": "mpov", "inputs": ["displacement"]}}}
    asked = ("--dry-run", "--quiet", "rules", "--")
    planned = jobs(snakemake(tmp_path, config, *asked, "o u t/runs/displacement/views/fold1/seed0/model.pt"))
    expected = {"demo_first_person": 1, "first_person": 1, "first_person_frames": 2, "features_of_several": 2}
    assert planned == expected | {"demo": 1, "index": 1, "splits": 1, "weights": 1, "train": 1}
    assert "demo_first_person" not in jobs(snakemake(tmp_path, config, *asked, "o u t/table1.csv"))


def test_demo_never_takes_a_folder_of_the_users(tmp_path: Path) -> None:
    for path in ("videos", "o u t/../videos", "o u t", str(tmp_path / "videos")):
        result = snakemake(tmp_path, TINY | {"dataset": {"importer": "folder", "path": path}}, "--dry-run")
        assert result.returncode != 0
        assert f"config: dataset.path: '{path}' lies outside of the results folder" in result.stdout


def test_missing_weights_are_found_out_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = {"backbone": "bninception", "weights": "imagenet"}
    result = snakemake(tmp_path, TINY | {"model": model}, "--cores", "1")
    assert result.returncode != 0
    assert "stp: ERROR: model.weights: 'imagenet' for bninception needs the public file" in result.stdout
    assert not (tmp_path / "o u t/videos").exists()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    words = failure(tmp_path, index_config(tmp_path / "absent"))
    assert "dataset.path: folder" in words
    assert "absent' does not exist" in words


def test_empty_class_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / "videos/nod/1.mp4")
    (tmp_path / "videos/wave").mkdir()
    assert "wave' has no video" in failure(tmp_path, index_config(tmp_path / "videos"))


def test_bad_videos_are_listed_at_once_or_skipped(tmp_path: Path) -> None:
    for label in ("nod", "wave"):
        write_video(tmp_path / f"videos/{label}/good.mp4")
        (tmp_path / f"videos/{label}/bad.mp4").write_text("no video")
    words = failure(tmp_path, index_config(tmp_path / "videos"))
    assert "2 of 4 videos do not decode; fix or remove them, or set on_bad_video: skip" in words
    assert "nod/bad.mp4: cannot be opened as a video" in words
    assert "wave/bad.mp4: cannot be opened as a video" in words
    config = index_config(tmp_path / "videos", on_bad_video="skip")
    assert snakemake(tmp_path, config, "o u t/index.csv").returncode == 0
    assert [row["clip"] for row in csv.DictReader((tmp_path / "o u t/index.csv").open())] == ["nod/good", "wave/good"]
    assert len(list(csv.DictReader((tmp_path / "o u t/skipped.csv").open()))) == 2


def test_class_of_bad_videos_alone_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / "videos/nod/good.mp4")
    (tmp_path / "videos/wave").mkdir()
    (tmp_path / "videos/wave/bad.mp4").write_text("no video")
    words = failure(tmp_path, index_config(tmp_path / "videos", on_bad_video="skip"))
    assert "no video of class 'wave' decodes; fix them or remove the class" in words


def test_other_weights_under_the_same_name_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    torch.save(ConvNet(3, 0.25).state_dict(), path)
    config = TINY | {"model": TINY["model"] | {"weights": str(path)}}
    report = "o u t/weights.json"
    assert snakemake(tmp_path, config, report).returncode == 0
    assert "Nothing to be done" in snakemake(tmp_path, config, report).stdout
    torch.save(ConvNet(3, 0.25).state_dict(), path)
    assert jobs(snakemake(tmp_path, config, "--dry-run", "--quiet", "rules", "--", report)) == {"weights": 1}


def test_other_weights_of_a_method_or_of_features_under_the_same_name_are_noticed(
    finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    path = tmp_path / "own.pth"
    torch.save(ConvNet(3, 0.25).state_dict(), path)
    small = {"width": 0.25, "input_size": 32}
    config = TINY | {
        "methods": {
            "two_stream": {"inputs": ["rgb"], "weights": str(path)},
            "svm": {"inputs": ["rgb"], "features": "frozen"},
            "c3d_svm": {"inputs": ["rgb"], "features": "c3d"},
        },
        "features": {
            "frozen": small | {"backbone": "convnet", "weights": str(path), "images": 2},
            "c3d": {"weights": "none", "width": 0.02, "input_size": 32},
        },
    }
    targets = [f"o u t/runs/rgb/{name}/fold1/seed0/model.pt" for name in ("two_stream", "baseline")]
    targets += [f"o u t/clips/{name}-rgb/0.h5" for name in ("frozen", "c3d")]
    result = snakemake(folder, config, *targets)
    assert result.returncode == 0, result.stdout
    assert "Nothing to be done" in snakemake(folder, config, *targets).stdout
    torch.save(ConvNet(3, 0.25).state_dict(), path)
    result = snakemake(folder, config, "--dry-run", "--quiet", "rules", "--", *targets)
    assert jobs(result) == {"features": 1, "train": 1}, result.stdout
    plain, own = sorted(recorded(folder)["features"], key=len)
    assert plain == (f"'{json.dumps(config['features']['c3d'], sort_keys=True)}'",)  # as versions without this record
    assert len(own) == 2


@pytest.mark.parametrize("path", ["config.yaml", *(f"config/{p.name}" for p in (ROOT / "config").glob("*.yaml"))])
def test_every_config_is_valid(path: str, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / path).read_text())
    result = snakemake(tmp_path, config, "--dry-run", "--quiet", "all")
    assert result.returncode == 0, result.stdout


def test_demo_config_states_every_key() -> None:
    """config.yaml explains all keys, so it must have all of them."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())

    def missing(properties: dict[str, Any], values: dict[str, Any], where: str = "") -> list[str]:
        found = []
        for key, entry in properties.items():
            if "$ref" in entry:
                entry = schema["$defs"][entry["$ref"].rsplit("/", 1)[1]]
            if key not in values:
                found.append(where + key)
            elif "properties" in entry:
                found += missing(entry["properties"], values[key], f"{where}{key}.")
        return found

    assert missing(schema["properties"], yaml.safe_load((ROOT / "config.yaml").read_text())) == []


def test_conda_environment_has_the_locks_versions() -> None:
    lock = dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / "envs/requirements.lock").read_text(), re.MULTILINE))
    several = {"numpy"}  # the lock has one a Python version
    environment = yaml.safe_load((ROOT / "envs/environment.yaml").read_text())
    pins = dict(pin.split("==") for pin in environment["dependencies"][-1]["pip"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(pins) == {re.split(r"[=>]", name)[0] for name in project["dependencies"]}
    assert {k: v for k, v in pins.items() if k not in several} == {k: lock[k] for k in pins if k not in several}
    assert sum("opencv" in name for name in lock) == 1
