"""Compiled code is kept somewhere, and where nobody else can put code."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stp.system.files import own_folder
from stp.system.triton_support import keep_kernels

USE = """
import logging, tempfile
logging.basicConfig(format="%(message)s")
from numba.core import caching
for locator in (caching.InTreeCacheLocator, caching.InTreeCacheLocatorFsAgnostic, caching.UserWideCacheLocator):
    locator.ensure_cache_path = REFUSE
from stp.system.compilation import compiled
@compiled(nogil=True)
def double(x):
    return 2 * x
print(double(4))
"""
REFUSE = """
def REFUSE(self):
    raise PermissionError(13, "Permission denied")
"""


def test_a_package_and_a_home_that_cannot_be_written_leave_the_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text(REFUSE + USE)
    known = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    root = str(Path(__file__).resolve().parents[2])
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, tmp_path / "use.py"],
            env=known | {"TMPDIR": str(tmp_path), "PYTHONPATH": root},
            capture_output=True,
            text=True,
        )
        folder = tmp_path / f"stp-numba-{os.getuid()}"
        assert (done.returncode, done.stdout) == (0, "8\n"), done.stderr
        assert done.stderr.splitlines() == [
            "compiled code cannot be written beside stp or in the user's cache folder: "
            f"it is kept in {folder}; NUMBA_CACHE_DIR names another"
        ]
        assert list(folder.rglob("*.nbc"))


@pytest.mark.parametrize("theirs", ["open", "link", "file"])
def test_code_is_not_taken_from_a_folder_into_which_others_can_write(tmp_path: Path, theirs: str) -> None:
    path, elsewhere = tmp_path / "stp-numba-0", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if theirs == "open":
        path.mkdir()
        path.chmod(0o777)
    elif theirs == "link":
        path.symlink_to(elsewhere)
    else:
        path.touch()
    folder = own_folder(path)
    assert folder not in (path, elsewhere)
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_of_ones_own_is_used_again(tmp_path: Path) -> None:
    assert own_folder(tmp_path / "a") == tmp_path / "a"
    assert own_folder(tmp_path / "a") == tmp_path / "a"
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_kernels_are_kept_in_the_temporary_folder_where_the_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setenv("TRITON_HOME", str(tmp_path / "home"))
    keep_kernels()
    assert "TRITON_CACHE_DIR" not in os.environ
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRITON_HOME", str(tmp_path / "file"))
    for _ in range(2):
        keep_kernels()
        assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / f"stp-triton-{os.getuid()}")
    (message,) = caplog.messages
    assert message.startswith("compiled kernels cannot be written to '")
