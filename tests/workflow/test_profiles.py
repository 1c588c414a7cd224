"""Profiles: what `snakemake` alone means, and what the SLURM profile asks a cluster for, without one."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.test_workflow import ROOT, TINY, forked

PROFILES = ROOT / "workflow/profiles"


def snakemake(folder: Path, config: dict[str, Any], *arguments: str, cwd: Path = ROOT) -> str:
    """What Snakemake says of the project's Snakefile in `folder` with `config`."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "config.yaml"), *arguments]
    return forked(command, cwd).stdout


def slurm(folder: Path, config: dict[str, Any], *arguments: str) -> str:
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra slurm is not installed")
    return snakemake(folder, config, "--workflow-profile", str(PROFILES / "slurm"), *arguments)


def resources(words: str) -> dict[str, dict[str, str]]:
    """Rule -> what its jobs ask for, from the output of a dry run."""
    found = re.findall(r"^rule (\w+):.*?^    resources: (.*?)$", words, re.MULTILINE | re.DOTALL)
    return {rule: dict(pair.split("=", 1) for pair in re.split(r", (?=\w+=)", pairs)) for rule, pairs in found}


@pytest.mark.parametrize("where", ["project", "elsewhere"])
def test_default_profile_is_found_without_being_named(where: str, tmp_path: Path) -> None:
    words = snakemake(tmp_path, TINY, "--cores", "1", "--dry-run", "-q", cwd=ROOT if where == "project" else tmp_path)
    assert re.search(r"Using workflow specific profile \S*profiles/default ", words), words


def test_slurm_profile_sends_what_runs_networks_to_the_gpus(tmp_path: Path) -> None:
    config = TINY | {"compute": {"gpus": 1, "mem_mb": 16000, "runtime": 720, "threads": 4}}
    asked = resources(slurm(tmp_path, config, "--dry-run"))
    partitions = {rule: values["slurm_partition"] for rule, values in asked.items() if rule != "all"}
    on_gpus = {"train", "score", "figure3"}
    assert set(partitions.values()) == {"cpu", "gpu"}
    assert {rule for rule, partition in partitions.items() if partition == "gpu"} == on_gpus
    assert {rule for rule, values in asked.items() if values.get("gpu") == "1"} == on_gpus
    assert asked["train"]["slurm_extra"] == "--signal=TERM@120"
    assert {"slurm_extra"} & set(asked["flow"]) == set()


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_small_rules_ask_for_what_the_profile_says(profile: str, tmp_path: Path) -> None:
    if profile == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra slurm is not installed")
    asked = resources(snakemake(tmp_path, TINY, "--workflow-profile", str(PROFILES / profile), "--dry-run"))["table1"]
    assert {name: asked[name] for name in ("mem_mb", "runtime", "gpu")} == {
        "mem_mb": "1000",
        "runtime": "10",
        "gpu": "0",
    }


def test_rules_need_no_profile(tmp_path: Path) -> None:
    asked = resources(snakemake(tmp_path, TINY, "--workflow-profile", "none", "--cores", "1", "--dry-run"))
    assert {rule for rule, values in asked.items() if "gpu" not in values} >= {
        "table1",
        "weights",
        "splits",
        "overview",
    }
    assert asked["train"]["gpu"] == "0"


def test_neither_profile_runs_jobs_again_because_of_the_text_of_a_command() -> None:
    triggers = [
        yaml.safe_load((PROFILES / name / "config.yaml").read_text())["rerun-triggers"] for name in ("default", "slurm")
    ]
    assert triggers == [["mtime", "params", "input", "software-env"]] * 2


@pytest.mark.parametrize("attempt", [1, 3])
def test_tries_ask_for_more_except_for_the_time_of_what_goes_on(attempt: int, tmp_path: Path) -> None:
    config = TINY | {"compute": TINY["compute"] | {"runtime": 60}}
    asked = resources(slurm(tmp_path, config, "--dry-run", "--attempt", str(attempt)))
    found = {rule: (int(asked[rule]["mem_mb"]), int(asked[rule]["runtime"])) for rule in ("flow", "score", "train")}
    assert found == {
        "flow": (4000 * attempt, 720 * attempt),
        "score": (500 * attempt, 120 * attempt),
        "train": (500 * attempt, 60),
    }
