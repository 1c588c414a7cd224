"""Mistakes in the names after `--configfile`; tests/workflow/test_terminal.py has what `snakemake` says of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
import yte

from stp.config_check import ROOT
from stp.pipeline import named_configs
from stp.pipeline.named_configs import mistake

PROFILES = ROOT / "workflow/profiles"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.yaml", "b.yml", "c", "d.csv"):
        (tmp_path / name).write_text("shards: 1\n")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("table1 -n", []),
        ("table1 --config shards=1 --configfile a.yaml b.yml -n", ["a.yaml", "b.yml"]),
        ("--configfile=a.yaml table1", ["a.yaml"]),
        ("--configfiles a.yaml -- table1 --configfile b.yml", ["a.yaml"]),
        ("--configfile a.yaml --cores 2 --configfile b.yml", ["b.yml"]),
    ],
)
def test_configs_are_the_names_that_snakemake_takes_for_them(command: str, files: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    expected = get_argument_parser().parse_args(command.split()).configfile
    assert named_configs.named_configs(command.split()) == expected == [Path(file) for file in files]


@pytest.mark.parametrize("command", ["", "table1", "table1 --configfile a.yaml b.yml c -n", "--configfile c -- x.csv"])
def test_a_call_without_a_mistake_is_none(command: str) -> None:
    assert mistake(command.split()) == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("--configfile b.yaml", "--configfile: 'b.yaml' does not exist; did you mean 'a.yaml'?"),
        ("--configfile a.yaml e.yml table1", "--configfile: 'e.yml' does not exist; did you mean 'a.yaml'?"),
        ("--configfile folder", "--configfile: 'folder' is a folder; did you mean '"),
        ("--configfile d.csv", "--configfile: 'd.csv' is no config; stp init VIDEOS writes one"),
        ("--configfile .", "--configfile: '.' is a folder; stp init VIDEOS writes one for a folder of videos"),
        ("--configfile a.yaml folder", "target: 'folder' was taken for a config, as every name after --configfile is"),
        ("--configfile a.yaml d.csv", "target: 'd.csv' was taken for a config, as every name after --configfile is"),
    ],
)
def test_what_is_no_config_is_named(command: str, words: str) -> None:
    assert mistake(command.split()).startswith(words)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (
            ["a.yaml", "table1", "o u t/x.csv"],
            "table1 'o u t/x.csv' --configfile a.yaml or: stp run a.yaml table1 'o u",
        ),
        (["a.yaml", "b.yml", "table1"], "table1 --configfile a.yaml b.yml"),
    ],
)
def test_the_cure_is_the_command_that_was_meant(words: list[str], cure: str) -> None:
    [_, line] = mistake(["--configfile", *words]).splitlines()
    assert line.startswith(f"    snakemake {cure}")
    assert ("stp run" in line) == ("b.yml" not in words)


@pytest.mark.parametrize("profile", ["default", "slurm"])
@pytest.mark.parametrize("installed", [True, False])
def test_a_profile_is_what_it_says_and_ends_the_call_at_a_mistake(
    profile: str, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (PROFILES / profile / "config.yaml").read_text()
    plain = {key: value for key, value in yaml.safe_load(text).items() if not key.startswith("__")}
    monkeypatch.setattr(sys, "argv", ["snakemake", "--configfile", "a.yaml"])
    assert yte.process_yaml(text, require_use_yte=True) == plain
    monkeypatch.setattr(sys, "argv", ["snakemake", "--configfile", "a.yaml", "table1"])
    if installed:
        with pytest.raises(SystemExit, match=r"^target: 'table1' was taken for a config"):
            yte.process_yaml(text, require_use_yte=True)
    else:
        monkeypatch.setitem(sys.modules, "stp", None)
        assert yte.process_yaml(text, require_use_yte=True) == plain


def test_the_workflow_is_free_to_import_the_package_beside_it() -> None:
    code = "import sys, yte; yte.process_yaml(open(sys.argv[3])); print(*(x for x in sys.modules if x[:3] == 'stp'))"
    command = [sys.executable, "-c", code, "--configfile", "a.yaml", str(PROFILES / "default/config.yaml")]
    environment = {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (result.stdout, result.returncode) == ("\n", 0), result.stderr
