"""How Snakemake is called, and what its log is made into. Runs of it are in tests/workflow and tests/test_wheel.py."""

import ast
import logging
from pathlib import Path
from typing import Any

import pytest

from stp.config_check import ROOT
from stp.pipeline.engine import PROFILES, Call, Event, _plain_words, _Translator
from stp.pipeline.jobs import Job

STP = ROOT / "stp"


def test_no_other_module_imports_snakemake() -> None:
    users = set()
    for path in STP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [item.name for item in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0].startswith("snakemake") for name in names):
                users.add(path.relative_to(STP).as_posix())
    assert users == {"pipeline/engine.py"}


def call(*options: str, memory: int = 0) -> list[str]:
    return Call(Path("a.yaml"), "results", ["results/x"], options, memory).arguments()


def test_a_call_has_the_default_profile_and_the_targets_last() -> None:
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "a.yaml"]
    profile = ["--workflow-profile", str(PROFILES / "default")]
    assert call("--forcerun", "train") == [*files, *profile, "--forcerun", "train", "--", "results/x"]


def test_a_profile_is_the_workflows_unless_the_user_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("--profile", "slurm", "-n")[4:-2] == ["--workflow-profile", str(PROFILES / "slurm"), "-n"]
    assert call("--profile=slurm", "-n") == call("--profile", "slurm", "-n")
    (tmp_path / "slurm").mkdir()
    assert call("--profile", "slurm")[4:-2] == ["--workflow-profile", "slurm"]
    assert call("--profile", "lab")[4:-2] == ["--workflow-profile", str(PROFILES / "default"), "--profile", "lab"]
    assert call("--workflow-profile", "none")[4:-2] == ["--workflow-profile", "none"]


def test_memory_is_shared_by_the_jobs_of_this_machine_unless_the_user_says_how() -> None:
    assert "mem_mb=9000" in call(memory=9000)
    assert "mem_mb=9000" not in call("--resources", "mem_mb=1", memory=9000)
    assert "mem_mb=9000" not in call("--profile", "slurm", memory=9000)


@pytest.mark.parametrize(("option", "runs"), [("--unlock", False), ("--report=a.html", False), ("--cores", True)])
def test_options_that_ask_for_something_else_are_known(option: str, runs: bool) -> None:
    assert Call(Path("a.yaml"), "results", [], [option]).runs_jobs is runs


def report(event: str, job: int | None = None, **values: Any) -> str:
    import json

    return json.dumps({"event": event, "job": job, "benchmark": None, "log": [], "minutes": 0, "words": ""} | values)


def test_reports_and_lines_become_events() -> None:
    translator = _Translator("out/results", dry=False)
    lines = [
        (True, report("job_info", 0)),  # of rule all
        (True, report("job_info", 3, benchmark="out/results/benchmarks/train/of/x.tsv", log=["a.log"], minutes=720)),
        (False, "Using workflow specific profile x for setting default command line arguments."),
        (False, "stp: WARNING: words"),
        (True, report("job_error", 3)),
        (True, report("job_finished", 3)),
        (True, report("job_finished", 0)),
        (True, report("error", words="a mistake")),
        (False, ""),
    ]
    job = Job("train/of/x", ("a.log",))
    assert [event for line in lines for event in translator.events(line)] == [
        Event("started", job),
        Event("printed", words="stp: WARNING: words"),
        Event("failed", job),
        Event("finished", job),
        Event("said", words="a mistake"),
        Event("nothing"),
    ]


def record(words: str, kind: str = "", level: int = logging.ERROR) -> logging.LogRecord:
    made = logging.LogRecord("snakemake.logging", level, "", 0, words, None, None)
    made.exception = kind
    return made


def test_errors_are_said_once_and_a_lock_says_how_it_is_opened() -> None:
    assert _plain_words(record("target: 'x' is made by no rule\n", "MissingRuleException")) == (
        "target: 'x' is made by no rule"
    )
    failed = "RuleException:\nCalledProcessError in file\nCommand 'x' returned non-zero exit status 1."
    assert _plain_words(record(failed, "RuleException")) == ""
    killed = failed.replace("returned non-zero exit status 1.", "died with <Signals.SIGKILL: 9>.")
    assert _plain_words(record(killed, "RuleException")) == killed
    assert "--unlock" in _plain_words(record("Directory cannot be locked ...", "LockException"))
    assert _plain_words(record("WorkflowError:\nAt least one job did not complete successfully.")) == ""
    assert _plain_words(record("Building DAG of jobs...", level=logging.INFO)) == ""
