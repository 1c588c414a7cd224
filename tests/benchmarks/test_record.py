"""RESULTS.md: the current section of each kind, and below them the sections that were replaced."""

import re
from collections import Counter
from pathlib import Path

import pytest
import record

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/RESULTS.md"

BEFORE = """\
# Measurements

An introduction.

## Current

### Dry run, 2026-01-02

1.6 s

### Flow, two cores, 2026-01-03

| a |
|---|
| 2 |

## History

### Flow, one core, 2026-01-01

1
"""


def test_a_new_section_takes_the_place_of_its_kind_and_the_former_one_ends_the_history() -> None:
    assert record.with_current(BEFORE, "### Dry run, 2026-01-04\n\n1.8 s") == (
        "# Measurements\n\nAn introduction.\n\n## Current\n\n"
        "### Dry run, 2026-01-04\n\n1.8 s\n\n"
        "### Flow, two cores, 2026-01-03\n\n| a |\n|---|\n| 2 |\n\n"
        "## History\n\n"
        "### Flow, one core, 2026-01-01\n\n1\n\n"
        "### Dry run, 2026-01-02\n\n1.6 s\n"
    )


def test_a_new_kind_comes_last_and_replaces_nothing() -> None:
    section = "### Flow: what limits it, 2026-01-04\n\nmemory"
    assert record.with_current(BEFORE, section) == BEFORE.replace("## History", f"{section}\n\n## History")


def test_a_benchmark_prints_its_section_and_keeps_it_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "RESULTS.md"
    parser = record.benchmark_parser("Speed.")
    record.record("Speed, busy", ["| 1 |"], keep=parser.parse_args(["--dry"]).keep)
    assert not results.exists()
    kept = parser.parse_args(["--keep", str(results)]).keep
    record.record("Speed, quiet", ["| 2 |"], "By hand.", kept)
    record.record("Speed", ["| 3 |"], keep=kept)
    printed = capsys.readouterr().out
    assert [re.findall(r"^\| \d \|", text, re.MULTILINE) for text in (printed, results.read_text())] == [
        ["| 1 |", "| 2 |", "| 3 |"],
        ["| 3 |", "| 2 |"],  # current, history
    ]
    headings = [line for line in results.read_text().splitlines() if line.startswith("#")]
    assert [re.sub(r", \d{4}-\d\d-\d\d$", "", line) for line in headings] == [
        "# Measurements",
        "## Current",
        "### Speed",
        "## History",
        "### Speed, quiet",
    ]
    assert parser.parse_args([]).keep == RESULTS
    assert f"{record.machine()}. By hand.\n" in results.read_text()
    assert "stp 0." in results.read_text()


def test_the_file_of_the_repository_has_one_current_section_of_each_kind_and_survives_a_new_one() -> None:
    text = RESULTS.read_text()
    current = text.split("## History")[0]
    kinds = Counter(re.findall(r"^### ([^,\n]+)", current, re.MULTILINE))
    assert set(kinds.values()) == {1}
    assert {"Dry run", "TV-L1 flow", "Training and scoring"} <= set(kinds)
    after = record.with_current(text, "### Dry run, 2100-01-01\n\n1 s")
    added = Counter(after.splitlines()) - Counter(text.splitlines())
    assert added == {"### Dry run, 2100-01-01": 1, "1 s": 1, "": 2}
    assert not Counter(text.splitlines()) - Counter(after.splitlines())
