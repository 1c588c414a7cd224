"""What plain `snakemake` shows on a terminal: mistakes in their own words, and no lines that nobody reads."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.test_workflow import ROOT, TINY


def snakemake(folder: Path, config: dict[str, object], *arguments: str) -> list[str]:
    """The lines that Snakemake shows, without options of which there are defaults."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder).stderr.splitlines()


@pytest.mark.parametrize(
    ("target", "cure"),
    [
        ("o u t/table_1.csv", "did you mean 'o u t/table1.csv'?"),
        ("o u t/runs/rgb/3-level/fold9/seed0/scores.h5", "fold 9 is none of the 2 folds of splits.folds"),
    ],
)
def test_a_target_that_no_rule_makes_is_one_line_with_its_cure(target: str, cure: str, tmp_path: Path) -> None:
    lines = snakemake(tmp_path, TINY, target)
    assert lines[-1] == f"target: '{target}' is made by no rule; {cure}"
    assert len(lines) <= 4, lines


@pytest.mark.parametrize("existing", [True, False])
def test_a_target_in_the_place_of_a_config_is_its_cure(existing: bool, tmp_path: Path) -> None:
    if existing:
        (tmp_path / "o u t").mkdir()
        (tmp_path / "o u t/table1.csv").write_text("method,accuracy\nours,0.5\n")
    lines = snakemake(tmp_path, TINY, "--configfile", "config.yaml", "o u t/table1.csv")
    assert lines[1:] == [
        "target: 'o u t/table1.csv' was taken for a config, as every name after --configfile is; targets come first:",
        "    snakemake 'o u t/table1.csv' --configfile config.yaml or: stp run config.yaml 'o u t/table1.csv'",
    ]


def test_a_config_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    lines = snakemake(tmp_path, TINY, "table1", "--configfile", "confg.yaml")
    assert lines[1:] == ["--configfile: 'confg.yaml' does not exist; did you mean 'config.yaml'?"]


def test_a_mistake_in_the_config_is_its_words_alone(tmp_path: Path) -> None:
    lines = snakemake(tmp_path, TINY | {"shards": 0})
    assert lines[1:] == ["config: shards: 0 is not allowed; allowed: whole number ≥ 1, ≤ 10000"]
