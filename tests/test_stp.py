"""The names that `stp` itself has, for scripts and notebooks."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import stp

ROOT = Path(__file__).resolve().parents[1]


def test_every_public_name_is_found() -> None:
    assert {*stp._HOMES, "__version__"} == set(stp.__all__)
    for name, home in stp._HOMES.items():
        assert getattr(stp, name) is getattr(importlib.import_module(home), name)
        assert name in dir(stp)


def test_another_name_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'stp' has no attribute 'tvl2'"):
        stp.tvl2  # type: ignore[attr-defined]  # noqa: B018


def test_importing_stp_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import stp; print(*sys.modules.keys() - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert [name for name in run.stdout.split() if name.startswith(("stp.", "numpy", "torch"))] == []


def test_the_package_says_that_it_has_types() -> None:
    """tests/test_wheel.py installs every file of the package."""
    assert (ROOT / "stp/py.typed").is_file()
