"""Figures that pages repeat are those of the current sections of benchmarks/RESULTS.md, from which they are read here.

Pages write the figures of methods as `NAME 91.1`, `NAME, NAME and NAME 91.1 each` or `91.1 of NAME on INPUT`, and
claims as `25 of 45 hold, none fails`; the measurement has `Of 45 claims 25 hold, 20 are undecided, none fails`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
README, DEMO, UT_INTERACTION, RESULTS = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/demo.md", "docs/ut-interaction.md", "benchmarks/RESULTS.md")
)
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
FIGURE = r"\d+\.\d"


def current(kind: str) -> str:
    """The current section of a kind of measurement: the part of its heading before the first comma."""
    sections = RESULTS.split("\n## History\n")[0].split("\n### ")
    [section] = [text for text in sections if re.split("[,\n]", text, maxsplit=1)[0] == kind]
    return section


def repeated(page: str, command: str) -> str:
    """The part of a page that repeats what a command measured, between the comments that say so, in one line."""
    by = f"<!-- Measured by {re.escape(command)}"
    [part] = re.findall(rf"{by};[^>]*Begin\. -->(.*){by}\. End\. -->", page, re.DOTALL)
    return " ".join(part.split())


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text, headings and rules left out."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    rules = [number for number, row in enumerate(cells) if re.fullmatch("[-: ]+", row[0])]
    return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]


def methods_of(section: str) -> tuple[dict[tuple[str, str], str], set[str]]:
    """Class accuracy by method and input, and all corrected p, of a table of methods."""
    found = [row for row in rows(section) if len(row) >= 12]
    return {(row[0], row[1]): row[2].split(" ± ")[0] for row in found}, {row[-1] for row in found}


def numbers_of_claims(text: str) -> list[tuple[str, str]]:
    """How many claims there are and how many of them hold, in each place of a text that says so."""
    text = " ".join(text.split())
    said = [(all_, hold) for hold, all_ in re.findall(r"(\d+) of (?:the )?(\d+) hold", text)]
    return said + re.findall(r"[Oo]f (?:the (?:paper's )?)?(\d+) (?:\w+ )?claims(?: of the paper)? (\d+) hold", text)


def number_failing(text: str) -> str:
    """`none`, or the number of claims that fail; `none` if a text does not say it."""
    found = re.search(r"(none|\d+) fails?\b", " ".join(text.split()))
    return found[1] if found else "none"


def test_table_1_of_the_demo_and_the_figures_of_it_in_the_readme() -> None:
    own = [row for row in rows(DEMO[DEMO.index("## Its Table 1") :].split("\n## ")[0]) if "±" in row[1]]
    assert len(own) > 1
    assert own == [row for row in rows(current("Table 1 of the demo data")) if "±" in row[1]]
    last = next(row for row in own if row[0] == "RGB+OF+WOF")
    said = re.search(r"RGB\+OF\+WOF reaches ([\d.]+) % class accuracy with 3 levels and ([\d.]+) % with the", README)
    assert said
    assert [said[1], said[2]] == [last[4].split()[0], last[1].split()[0]]


def test_accuracies_of_classes_in_the_notebook_are_those_of_the_demo() -> None:
    """Every class has as many test clips in a fold as the others, so that their mean is the class accuracy."""
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    [table] = [
        "".join(cell["outputs"][0]["data"]["text/plain"]) for cell in cells if "unstack" in "".join(cell["source"])
    ]
    heading, _, *classes = [line.split() for line in table.splitlines()]
    means = np.mean([[float(value) for value in row[1:]] for row in classes], axis=0)
    of = next(row for row in rows(current("Table 1 of the demo data")) if row[0] == "OF")
    measured = dict(zip(("baseline", "1-level", "2-level", "3-level", "4-level"), of[1:], strict=True))
    assert len(classes) == 7
    assert [f"{mean:.1f}" for mean in means] == [measured[variant].split()[0] for variant in heading[1:]]


def test_numbers_of_claims_that_hold_on_the_demo() -> None:
    page, measured = repeated(DEMO, "make table1"), current("Table 1 of the demo data")
    assert numbers_of_claims(page)
    assert set(numbers_of_claims(page)) <= set(numbers_of_claims(measured))
    assert number_failing(page) == number_failing(measured)


def test_figures_of_compared_methods_on_the_demo() -> None:
    page = repeated(DEMO, "snakemake results/methods.csv")
    accuracies, corrected = methods_of(current("Methods on the demo data"))
    [listed] = re.findall(rf"RGB\+OF: ((?:[\w-]+ {FIGURE},? ?)+)", page)
    pairs = re.findall(rf"([\w-]+) ({FIGURE})", listed)
    assert dict(pairs) == {method: figure for (method, seen), figure in accuracies.items() if seen == "RGB+OF"}
    assert [float(figure) for _, figure in pairs] == sorted((float(figure) for _, figure in pairs), reverse=True)

    names = {method for method, _ in accuracies}
    for method, figure in re.findall(rf"([\w+-]+) ({FIGURE})", page.replace(listed, "")):
        if method in names:
            assert figure in {value for (name, _), value in accuracies.items() if name == method}, (method, figure)
    for those, figure in re.findall(rf"([\w-]+(?:, [\w-]+)*(?: and [\w-]+)) ({FIGURE}) each", page):
        for method in re.split(", | and ", those):
            assert figure in {value for (name, _), value in accuracies.items() if name == method}, (method, figure)
    for figure, method, seen in re.findall(rf"({FIGURE}) of ([\w-]+) on ([A-Z+]+)", page):
        assert accuracies[method, seen] == figure
    said = set(re.findall(rf"(?<![\d.]){FIGURE}(?!\d)", page))
    assert said <= set(accuracies.values()), said - set(accuracies.values())
    said = {f"0{p}" for p in re.findall(r"p = (\.\d+) after correction", page)}
    assert said <= corrected, said - corrected


def test_table_of_ut_interaction_and_the_frozen_features_beside_it() -> None:
    own = [row for row in rows(UT_INTERACTION.split("| Set 1 |")[0]) if "±" in row[1]]
    assert len(own) > 1
    assert [row[:3] for row in own] == [row for row in rows(current("Table 1 of UT-Interaction")) if "±" in row[1]]
    frozen = {row[0]: row[1] for row in rows(current("Frozen features and a linear classifier"))}
    for seen, _, _, mean, parts in own:
        assert mean == frozen.get(f"{seen}, mean of the clip", "")
        assert parts == frozen.get(f"{seen}, 4 temporal parts", "")


@pytest.mark.parametrize("number", [1, 2])
def test_tables_of_the_sets_of_ut_interaction(number: int) -> None:
    table = UT_INTERACTION.split(f"| Set {number} |")[1].split("\n\n")[0]
    own = [row for row in rows(f"| Set {number} |{table}") if "±" in row[1]]
    measured = rows(current(f"UT-Interaction set {number}"))
    assert len(own) == 6
    assert [row[:3] for row in own] == [row for row in measured if "±" in row[1]]
    recognised = {row[0]: f"{row[1]}, {row[2]}" for row in measured if len(row) == 5}
    assert all(row[3] == recognised[row[0]] for row in own)


def test_claims_and_hand_crafted_methods_on_ut_interaction() -> None:
    page = " ".join(UT_INTERACTION.split())
    said = re.search(r"claims that these runs can test, (\w+) hold", page)
    [(_, hold)] = numbers_of_claims(current("Table 1 of UT-Interaction"))
    assert said
    assert said[1] == NUMBERS[int(hold)]
    section = current("Hand-crafted methods on UT-Interaction")
    measured = {row[0]: row[2] for row in rows(section) if len(row) >= 12 and row[1].endswith("IDT")}
    figures = f"({FIGURE} ± {FIGURE})"
    found = re.search(rf"idt {figures}, mofap {figures}; .* fused with idt {figures}", page)
    assert found
    assert found.groups() == (measured["idt"], measured["mofap"], measured["3-level+idt"])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("25 of 45 hold, none fails", [("45", "25")]),
        ("Of 45 claims 25 hold, 20 are undecided", [("45", "25")]),
        ("Of the paper's 31 claims 25 hold", [("31", "25")]),
        ("Of 31 claims of the paper 25 hold", [("31", "25")]),
        ("25 hold", []),
    ],
)
def test_numbers_of_claims_are_read(text: str, numbers: list[tuple[str, str]]) -> None:
    assert numbers_of_claims(text) == numbers
