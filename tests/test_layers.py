"""Imports go one way: a folder of `stp` imports only from the lines below its own."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

STP = Path(__file__).resolve().parents[1] / "stp"
ORDER = (  # what stands on one line does not import each other
    ("cli",),
    ("predict", "setup", "pipeline"),
    ("overview",),
    ("figures",),
    ("explain",),
    ("methods",),
    ("training", "features", "extraction"),
    ("models", "encoding", "trajectories"),
    ("sampling", "datasets", "warped", "evaluation"),
    ("video", "flow"),
    ("data",),
    ("system",),
    ("config_check",),
    ("config",),
    ("errors",),
)
LINE = {name: number for number, line in enumerate(ORDER) for name in line}


def imported(path: Path) -> set[str]:
    """First names below `stp` of all modules that a file imports, also within functions."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{item.name}" for item in node.names} if node.module == "stp" else {node.module}
        elif isinstance(node, ast.Import):
            modules |= {item.name for item in node.names}
    return {name.split(".")[1] for name in modules if name.startswith("stp.")} - {"__version__"}


@pytest.mark.parametrize("path", sorted(STP.glob("*/**/*.py")), ids=lambda path: path.relative_to(STP).as_posix())
def test_a_folder_imports_only_from_lines_below_its_own(path: Path) -> None:
    own = path.relative_to(STP).parts[0]
    wrong = {name for name in imported(path) if name != own and LINE[name] <= LINE[own]}
    assert not wrong, f"{own} must not import {', '.join(sorted(wrong))}"


def test_every_module_has_its_line() -> None:
    names = {path.stem for path in STP.iterdir() if path.is_dir() or path.suffix == ".py"} - {"__pycache__"}
    assert names - {"__init__", "__main__"} <= set(LINE)


def test_evaluation_needs_no_torch() -> None:
    for path in STP.glob("evaluation/*.py"):
        assert "torch" not in path.read_text(encoding="utf-8"), path


def test_trainings_and_scoring_do_not_wait_for_packages_that_they_do_not_need() -> None:
    code = (
        "import sys, stp.methods.pyramid, stp.methods.tsm, stp.evaluation.scores, stp.training.scoring\n"
        "from stp.models.temporal_shift import insert_shifts\n"
        "insert_shifts(stp.models.backbones.build_backbone('convnet', 3, False).network, 8, 8)\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=STP.parent)
    slow = {"pandas", "scipy", "sklearn", "matplotlib", "triton", "torchvision", "timm", "torch._dynamo"}
    assert not slow & set(run.stdout.split())


def test_no_two_test_modules_have_the_same_name() -> None:
    """Or pytest refuses both where it collects them in one process."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
