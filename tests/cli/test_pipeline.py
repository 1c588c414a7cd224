"""stp check and stp run: mistakes are found before anything runs, each in one line with its cure."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from stp.cli.app import app
from stp.cli.pipeline import split_words, target_files
from stp.config_check import checked_config
from stp.errors import UserError
from stp.pipeline.engine import Call
from stp.pipeline.jobs import Job
from tests.workflow.test_workflow import TINY

CONFIG = checked_config(TINY | {"training": {"seeds": [3, 4]}})[1]


def stp(folder: Path, monkeypatch: pytest.MonkeyPatch, config: Any, *words: str) -> Result:
    """A call in a folder that has the config videos.yaml."""
    (folder / "videos.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(folder)
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("table1", ["table1"]),
        ("table1.csv", ["o u t/table1.csv"]),
        ("o u t/table1.csv", ["o u t/table1.csv"]),
        ("figures/figure3.png", ["o u t/figures/figure3.png"]),
        ("runs/of/3-level/fold1/seed3", ["o u t/runs/of/3-level/fold1/seed3/scores.h5"]),
        ("runs/of/3-level/fold2/", [f"o u t/runs/of/3-level/fold2/seed{seed}/scores.h5" for seed in (3, 4)]),
        ("o u t/runs/of/3-level", [f"o u t/runs/of/3-level/fold{f}/seed{s}/scores.h5" for f in (1, 2) for s in (3, 4)]),
        ("runs/of/3-level/fold1/seed3/model.pt", ["o u t/runs/of/3-level/fold1/seed3/model.pt"]),
    ],
)
def test_short_names_are_targets_of_the_config(target: str, files: list[str]) -> None:
    assert target_files(target, CONFIG) == files


def test_targets_end_where_options_begin() -> None:
    assert split_words(["table1", "claims", "--cores", "2", "-n"]) == (["table1", "claims"], ["--cores", "2", "-n"])
    assert split_words([]) == ([], [])
    with pytest.raises(UserError, match=r"^--configfile: stp run gives it itself"):
        split_words(["table1", "--configfile", "a.yaml"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["video.yaml"], "CONFIG: 'video.yaml' does not exist; did you mean 'videos.yaml'?"),
        (["table1"], "CONFIG: 'table1' does not exist; "),
        (["folder.yaml"], "CONFIG: 'folder.yaml' does not exist; did you mean '"),
        (["-n", "videos.yaml"], "CONFIG: '-n' is an option; the config comes first: stp run CONFIG [TARGET...] -n"),
    ],
)
def test_a_config_that_is_not_there_is_one_line_with_what_was_meant(
    words: list[str], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = stp(tmp_path, monkeypatch, TINY, "run", *words).exception
    assert isinstance(found, UserError)
    assert str(found).startswith(error)
    assert "\n" not in str(found)


def test_all_mistakes_of_a_config_are_lines_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"shards": 0, "dataset": {"importer": "folder", "path": "absent"}, "trainning": {}}
    config = {key: value for key, value in TINY.items() if key != "demo"} | changes
    result = stp(tmp_path, monkeypatch, config, "check", "videos.yaml")
    assert result.exit_code == 1
    assert sorted(message.partition(" ")[0] for message in caplog.messages if "config:" in message) == ["config:"] * 2
    assert any(message.startswith("dataset.path: folder 'absent' does not exist") for message in caplog.messages)
    assert all("\n" not in message for message in caplog.messages)


def test_what_there_is_to_do_is_told_before_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job("index"), Job("frames/0"), *(Job(f"train/of/baseline/fold{fold}/seed0") for fold in (1, 2))]
    monkeypatch.setattr(Call, "planned", lambda self: jobs)
    benchmarks = tmp_path / "o u t/benchmarks/train/of/baseline/fold1"
    benchmarks.mkdir(parents=True)
    (benchmarks / "seed0.tsv").write_text("s\n90\n")
    result = stp(tmp_path, monkeypatch, TINY, "run", "videos.yaml", "table1", "-n")
    assert result.exit_code == 0, result.output
    first, second, third, fourth = result.output.splitlines()
    assert first == "videos.yaml: 28 clips of 7 classes, 12 trained runs in all"
    assert second == "4 jobs: 1 index, 1 frames, 2 train"
    assert third.endswith(" are free")
    assert fourth == "more than 3 min of one core's time, by the jobs measured"
    monkeypatch.setattr(Call, "planned", lambda self: [])
    result = stp(tmp_path, monkeypatch, TINY, "run", "videos.yaml")
    assert result.output.splitlines()[1:] == ["nothing is to be done: all of it is in o u t"]


def test_a_warning_is_a_line_that_keeps_nothing_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Call, "planned", lambda self: [Job("train/of/aligned-2-level/fold1/seed0")])
    config = TINY | {"variants": ["baseline", "aligned-2-level"]}
    for extra, expected in ((9, 1), (1, 0)):
        caplog.clear()
        result = stp(tmp_path, monkeypatch, config | {"aligned": {"extra_subsegments": extra}}, "check", "videos.yaml")
        assert result.exit_code == 0, result.output
        lines = [message for message in caplog.messages if message.startswith("aligned.extra_subsegments: 9 makes ")]
        assert len(lines) == expected
        assert "1 jobs: 1 train" in result.output
