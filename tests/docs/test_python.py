"""The pages on Python run, on a small results folder: blocks of docs/python.md and cells of docs/notebook.ipynb."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot as plt

import stp

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "python.md").read_text(encoding="utf-8")
CELLS: list[dict[str, Any]] = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]


def run(codes: Sequence[str], where: str) -> dict[str, Any]:
    """Run pieces of code one after another, in one namespace, which is returned."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(codes, 1):
        exec(compile(code, f"{where}, piece {number}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def figures_without_a_screen() -> Iterator[None]:
    matplotlib.use("agg")
    yield
    plt.close("all")  # the page's own code leaves its figures open


def test_the_blocks_of_the_page_run_in_their_order(tiny_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_results.parent)
    names = run(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), "python.md")
    assert names["flow"].shape == (4, 2, 72, 96)
    assert names["network"](names["images"]).shape[1:] == (3, 7)


def test_the_notebook_runs_from_top_to_bottom(tiny_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny_results.parent / "docs").mkdir(exist_ok=True)
    monkeypatch.chdir(tiny_results.parent / "docs")
    names = run(["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"], "notebook.ipynb")
    assert (len(names["train"]), len(names["test"])) == (7, 7)
    assert set(names["shares"]) == set(names["train"].classes)


def test_the_notebook_is_stored_with_the_output_of_one_run_without_an_error() -> None:
    codes = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in codes] == list(range(1, len(codes) + 1))
    outputs = [output for cell in codes for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data", "execute_result"}
    assert not re.search(r"/(home|root|tmp|work)/", json.dumps(outputs))


def test_the_page_names_everything_that_stp_has() -> None:
    assert set(re.findall(r"`stp\.(\w+)`", PAGE.split("## ")[0])) == set(stp.__all__) - {"__version__"} - {
        *("TVL1Parameters", "TrainedRun"),
    }
