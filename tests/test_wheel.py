"""The wheel carries the workflow: it runs in any folder, without a clone and without an activated environment."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from stp.config_check import ROOT
from tests.data.test_index import write_video

SOURCES = ("stp", "workflow", "config", "envs", "Snakefile", "config.yaml", "pyproject.toml", "setup.py", "README.md")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in (*SOURCES, "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    (source / "profiles").symlink_to("workflow/profiles")
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder)
    return folder


def test_a_wheel_has_every_file_of_the_package_and_of_the_workflow(installed: Path) -> None:
    for name in ("stp", "workflow", "config", "config.yaml", "Snakefile"):
        top = ROOT / name
        files = [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else [top]
        place = installed if name == "stp" else installed / "stp/clone"
        missing = {str(path.relative_to(ROOT)) for path in files if not (place / path.relative_to(ROOT)).is_file()}
        assert {path for path in missing if "__pycache__" not in path} == set()
    assert list((installed / "stp/clone").glob("*.py")) == []


def test_what_a_wheel_installs_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    for label in ("nod", "wave"):
        for number in range(2):
            write_video(tmp_path / f"videos/{label}/{number}.mp4")
    config = {"dataset": {"importer": "folder", "path": "videos"}, "results": "out", "splits": {"folds": 2}}
    (tmp_path / "videos.yaml").write_text(yaml.safe_dump(config))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STP_")}
    environment |= {"PYTHONPATH": str(installed), "PATH": os.defpath}
    command = [sys.executable, "-m", "stp", "run", "videos.yaml", "splits", "--cores", "2"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[:2] == [
        "videos.yaml: 4 clips of 2 classes, 30 trained runs in all",
        "2 jobs: 1 index, 1 splits",
    ]
    [outcome] = result.stderr.splitlines()
    assert outcome.startswith("2 jobs done in ")
    assert {path.name for path in (tmp_path / "out/splits").iterdir()} == {"fold1.csv", "fold2.csv"}
