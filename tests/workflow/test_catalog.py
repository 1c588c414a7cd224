"""Standard usage as the workflow catalog has it: workflow/Snakefile by itself, and as a module of another workflow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.data.test_index import write_video

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "workflow/Snakefile"
MODULE = f"""
configfile: "config/config.yaml"

module stp:
    snakefile: {str(WORKFLOW)!r}
    config: config

use rule * from stp
"""


@pytest.mark.parametrize("as_module", [False, True], ids=["itself", "module"])
def test_workflow_runs_from_a_folder_of_the_users(tmp_path: Path, as_module: bool) -> None:
    for label in ("nod", "wave"):
        write_video(tmp_path / f"videos/{label}/1.mp4")
    (tmp_path / "config").mkdir()
    config = {"dataset": {"importer": "folder", "path": "videos"}, "compute": {"gpus": 0}}
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(config))
    snakefile, options = WORKFLOW, ["--configfile", "config/config.yaml"]
    if as_module:
        snakefile, options = tmp_path / "Snakefile", []
        snakefile.write_text(MODULE)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *options, "--cores", "1"]
    # The environment is not activated: jobs take the Python that runs Snakemake nevertheless.
    environment = os.environ | {"PATH": os.defpath}
    result = subprocess.run(
        [*command, "results/index.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "results/index.csv").read_text().splitlines()) == 3
    everything = subprocess.run([*command, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.search(r"^overview +1$", everything.stdout, re.MULTILINE), everything.stdout
