"""The command line: mistakes are one line and no traceback, and logs land where they are asked for."""

import errno
import json
import logging
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from stp import __version__
from stp.cli.app import DAILY, app, main
from stp.cli.options import COMBINED, parse_fusion, parse_json, parse_named_weights, read_all_scores
from stp.config import Fusion
from stp.config_check import checked_config
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation.scores import Scores, write_scores
from stp.system.logs import LogFile

ROOT = Path(__file__).resolve().parents[2]


def stp(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stp", *arguments], capture_output=True, text=True, check=False)


def test_inputs_that_are_fused_with_nothing_need_no_weight(tmp_path: Path) -> None:
    values = np.zeros((2, 1, 2), np.float32)
    for name in ("rgb", "of", "displacement"):
        run = RunName(name, "mpov", 1)
        write_scores(tmp_path / name, Scores(run, ("a", "b"), ("1", "2"), np.array([0, 1]), values), {})
    paths = [tmp_path / "rgb", tmp_path / "displacement"]
    assert [item.run.input for item in read_all_scores(paths, Fusion(weights={"rgb": 1}))] == ["rgb", "displacement"]
    with pytest.raises(UserError, match=r"--weights: no weight for of; give rgb=1,of=1.5,wof=1"):
        read_all_scores([*paths, tmp_path / "of"], Fusion(weights={"rgb": 1}))


def test_weights() -> None:
    weights = {"rgb": 1.0, "of": 1.5}
    assert parse_fusion("rgb=1,of=1.5", "probabilities") == Fusion("probabilities", weights, methods={})
    own = parse_fusion("rgb=1,of=1.5", "scores", method_weights=["a:rgb=0.6,of=0.4"])
    assert (own.of("a"), own.of("b")) == ({"rgb": 0.6, "of": 0.4}, weights)
    with pytest.raises(UserError, match="--method-weights: 'rgb=1' is not of the form METHOD:rgb=1"):
        parse_fusion("rgb=1,of=1.5", "scores", method_weights=["rgb=1"])
    for wrong in ("rgb", "rgb=x", "rgb=0", "=1", ""):
        with pytest.raises(UserError, match="--weights"):
            parse_fusion(wrong, "scores")
    for wrong, words in (
        ("rgb=nan,of=inf", "weights are above 0 and at most 1000000"),
        ("rgb=1,rgb=2", "has a name twice"),
        ("rgb=1,flow=2", "'flow' is none of rgb, of, wof"),
    ):
        with pytest.raises(UserError, match=f"--weights: '{wrong}'.* {words}"):
            parse_fusion(wrong, "scores")
        with pytest.raises(UserError, match=f"--method-weights: '{wrong}'.* {words}"):
            parse_fusion("rgb=1", "scores", method_weights=[f"a:{wrong}"])
    with pytest.raises(UserError, match="--method-weights: 'a' is given twice"):
        parse_fusion("rgb=1", "scores", method_weights=["a:rgb=1", "a:rgb=2"])
    assert parse_named_weights(["both:tsm=1,trn=2"], "--combined", COMBINED) == {"both": {"tsm": 1, "trn": 2}}


@pytest.mark.parametrize("weight", [0.0, 1e-9, 1e6, 1e6 + 1, math.inf, math.nan, -1.0])
def test_the_command_line_allows_the_weights_that_the_config_allows(weight: float) -> None:
    values = {"dataset": {"importer": "folder", "path": "videos"}, "fusion": {"weights": {"rgb": weight}}}
    allowed = []
    for check in (lambda: checked_config(values), lambda: parse_fusion(f"rgb={weight!r}", "scores")):
        try:
            check()
        except UserError:
            allowed.append(False)
        else:
            allowed.append(True)
    assert allowed == [1e-9 <= weight <= 1e6] * 2


def test_settings() -> None:
    assert parse_json('{"batch_videos": 16}', "--settings") == {"batch_videos": 16}
    with pytest.raises(UserError, match="--settings: not JSON"):
        parse_json("batch_videos: 16", "--settings")


def test_mistake_is_one_line_on_the_terminal_and_in_the_log(tmp_path: Path) -> None:
    arguments = ["index", str(tmp_path / "absent"), "-o", str(tmp_path / "i.csv"), "--skipped", str(tmp_path / "s.csv")]
    result = stp("--log", str(tmp_path / "logs/index.log"), *arguments)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("stp: ERROR: dataset.path: folder")
    assert "ERROR dataset.path: folder" in (tmp_path / "logs/index.log").read_text()


def test_weights_and_videos_that_are_missing_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    needed = json.dumps({"dataset.path": str(tmp_path / "absent"), "dataset.lists": str(tmp_path)})
    arguments = ["weights", "--backbone", "bninception", "--needed", needed, "-o", str(tmp_path / "weights.json")]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, UserError)
    first, second = str(error).splitlines()
    assert first.startswith("model.weights: 'imagenet' for bninception needs the public file")
    assert second.strip().startswith(f"dataset.path: '{tmp_path / 'absent'}' does not exist; put the videos there")


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_every_subcommand_has_help() -> None:
    assert len(COMMANDS) >= 25
    assert all(command.help for command in COMMANDS.values())
    assert "Usage: python -m stp" in stp("--help").stdout


def test_help_shows_what_people_call_before_the_stages() -> None:
    words = CliRunner().invoke(app, ["--help"]).stdout
    daily, stages = words.index("Every day"), words.index("Stages of the pipeline")
    assert daily < words.index(" check ") < words.index(" run ") < stages < words.index(" table1 ")
    panels = {name: command.rich_help_panel for name, command in COMMANDS.items()}
    assert sum(panel == "Every day" for panel in panels.values()) == len(DAILY)


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"stp {__version__}\n"


def test_another_python_is_told_of_the_environment_in_a_line() -> None:
    command = [sys.executable, "-S", "-m", "stp", "doctor"]  # -S: a Python without the packages of the environment
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert re.search(r"has no package \w+; activate the environment of stp, as by `source", done.stderr)


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()  # type: ignore[index]
    command = ["make", "--no-print-directory", "help"]  # within `make test`, make would name the folder, too
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(line.split()[1] for line in shown.splitlines()) == sorted(targets)


@pytest.mark.parametrize("document", ["README.md", *(str(path) for path in sorted((ROOT / "docs").glob("*.md")))])
def test_commands_of_documents_have_the_options_that_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^    stp (.+)$", text, re.MULTILINE)
    assert lines or document != "README.md"
    for line in lines:
        name, *words = shlex.split(line, comments=True)
        if COMMANDS[name].context_settings.get("ignore_unknown_options"):  # they are Snakemake's
            continue
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options, line


def test_a_full_disk_is_no_error_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a.h5")

    monkeypatch.setattr("stp.cli.app.app", full)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    expected = "a.h5: the disk is full (No space left on device); make room and run the command again"
    assert caplog.messages == [expected]


def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    video = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi")
    Path(video).write_bytes(b"x")
    for arguments in (["flow", video, "-o", "out"], ["predict", video, "--run", "r"], ["flow", "a.avi", "-o", video]):
        result = subprocess.run([sys.executable, "-m", "stp", *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert "caf\\udce9.avi': the name is not UTF-8: rename the file or its folder" in result.stderr


def test_a_log_on_a_full_disk_is_said_once_and_the_command_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile("/dev/full")
    for _ in range(3):
        handler.handle(logging.LogRecord("stp", logging.INFO, "", 0, "a line", None, None))
    assert capsys.readouterr().err.splitlines() == [
        "stp: WARNING: /dev/full: the log cannot be written ([Errno 28] No space left on device)"
    ]
    with pytest.raises(OSError, match="No space"):  # which logging ignores when the program ends
        handler.close()


@pytest.mark.parametrize(
    ("ending", "status"),
    [("pass", 0), ("sys.exit(75)", 75), ("raise UserError('wrong')", 1), ("raise KeyError", 2), ("sys.exit('why')", 1)],
)
def test_a_process_ends_at_once_with_the_status_of_its_command(ending: str, status: int) -> None:
    script = f"""
import atexit, sys
import stp.cli.app as cli
from stp.errors import UserError

def command():
    print("done")
    {ending}

atexit.register(print, "taken apart")
cli.app, sys.argv = command, ["stp"]
cli.program()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == status
    assert result.stdout.splitlines() == (["done", "taken apart"] if "why" in ending else ["done"])
    assert ("why" in ending) == (result.stderr == "why\n")


def test_a_process_waits_for_threads_that_work() -> None:
    script = """
import sys, threading, time
from stp.cli import program

sys.argv = ["stp", "--version"]
threading.Thread(target=lambda: (time.sleep(0.5), print("worked"))).start()
program()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.splitlines() == [f"stp {__version__}", "worked"]


def test_errors_of_files_are_one_line_and_others_are_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["stp"])
    for error, status, line in (
        (OSError(errno.EIO, "Input/output error", "a.h5"), 1, "a.h5: Input/output error"),
        (OSError(errno.ENAMETOOLONG, "File name too long", b"b"), 1, "b: File name too long"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "the disk is full (Disk quota exceeded); make room"),
        (OSError(errno.EINVAL, "Invalid argument"), 2, "unexpected error"),
        (OSError("nothing is known"), 2, "unexpected error"),
    ):
        caplog.clear()
        monkeypatch.setattr("stp.cli.app.app", Mock(side_effect=error))
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == status
        assert caplog.messages[0].startswith(line)
