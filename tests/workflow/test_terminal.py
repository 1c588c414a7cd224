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


def test_a_mistake_in_the_config_is_its_words_alone(tmp_path: Path) -> None:
    lines = snakemake(tmp_path, TINY | {"shards": 0})
    assert lines[1:] == ["config: shards: 0 is not allowed; allowed: whole number ≥ 1, ≤ 10000"]
