"""docs/methods.md: its entries are accepted by the config, and the published schedule of each network is among them."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stp import methods
from stp.config_check import checked_config
from stp.setup.check import check_method
from stp.training.run import NetworkOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs/methods.md").read_text(encoding="utf-8")
SECTIONS = {section.split("\n", 1)[0]: section for section in PAGE.split("\n## ")[1:]}
PYRAMIDS = {"pyramid", "aligned"}  # whose schedule is the config's own


def networks() -> list[str]:
    """The methods that train a network, but for the pyramids."""
    found = []
    for item in pkgutil.iter_modules(methods.__path__):
        method = getattr(importlib.import_module(f"stp.methods.{item.name}"), "METHOD", None)
        if item.name not in PYRAMIDS and method and issubclass(method.options, NetworkOptions):
            found.append(item.name)
    return found


def block_of(section: str) -> str:
    """The YAML of a section."""
    [block] = re.findall(r"```yaml\n(.*?)```", SECTIONS[section], re.DOTALL)
    return str(block)


def commented_entries(block: str) -> dict[str, Any]:
    """The entries of section `methods` that a block has as comments, of one line or several."""
    lines: list[str] = []
    unclosed = 0
    for line in re.findall(r"^  # *(.*)$", block, re.MULTILINE):
        if unclosed or re.match(r"[\w-]+: {", line):
            unclosed += line.count("{") - line.count("}")
            lines.append(line)
    return yaml.safe_load("\n".join(lines)) or {}


@pytest.mark.parametrize("section", [name for name in SECTIONS if "```yaml" in SECTIONS[name]])
def test_the_entries_of_a_method_are_accepted(section: str) -> None:
    shown = yaml.safe_load(block_of(section))
    plain = {"results": "results/x", "dataset": {"importer": "list", "path": "videos", "lists": "clips.csv"}} | shown
    commented = commented_entries(block_of(section))
    for values in (plain, plain | {"methods": commented}) if commented else (plain,):
        _, config = checked_config(values)
        for entry in config.methods_to_check():
            check_method(entry)


@pytest.mark.parametrize("method", networks())
def test_each_network_has_an_entry_with_a_schedule(method: str) -> None:
    entries = commented_entries(block_of(method)).values()
    schedules = [entry[stream] for entry in entries for stream in ("rgb", "flow") if stream in entry]
    assert schedules
    assert all({"learning_rate", "milestones"} <= schedule.keys() for schedule in schedules)
    assert {entry.get("method", method) for entry in entries} == {method}
