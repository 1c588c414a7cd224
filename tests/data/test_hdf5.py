"""HDF5 files: no error of the disk is lost, no lock is needed, no damage passes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from stp.data.hdf5 import read_hdf5, write_hdf5
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError


def fill(path: Path, clips: int) -> None:
    """Clips in small pieces, which HDF5 gathers in a buffer."""
    with write_shard(path, "of", {}) as shard:
        for clip in range(clips):
            shard.create(f"clip{clip}", (40, 2, 8, 16))
            for t in range(40):
                shard.fill(f"clip{clip}", t, np.full((1, 2, 8, 16), clip, np.uint8))


@pytest.mark.parametrize("room", [1 << 14, 1 << 17, 5 << 17])
def test_a_full_disk_is_an_error_at_once_and_leaves_no_shard(small_disk: Callable[[int], Path], room: int) -> None:
    folder = small_disk(room)
    written: list[int] = []

    def write() -> None:
        with write_shard(folder / "0.h5", "of", {}) as shard:
            for number in range(1000):
                shard.write(f"{number}", np.zeros((40, 2, 8, 16), np.uint8))
                written.append(number)

    with pytest.raises(OSError, match=r"No space left on device: '.*/0\.h5'"):
        write()
    assert len(written) <= room / (40 * 2 * 8 * 16) + 8  # some of it waits in HDF5's buffer
    assert list(folder.iterdir()) == []


def test_a_disk_that_is_full_by_the_last_byte_is_an_error(small_disk: Callable[[int], Path], tmp_path: Path) -> None:
    """Whichever write does not fit: data, the tables of HDF5, or what it writes when the file is closed."""
    fill(tmp_path / "whole.h5", 3)
    pages = -(-(tmp_path / "whole.h5").stat().st_size // 4096)
    for missing in (1, 2, 3):
        folder = small_disk(4096 * (pages - missing))
        with pytest.raises(OSError, match="No space left on device"):
            fill(folder / "0.h5", 3)
        assert list(folder.iterdir()) == []
    fill(small_disk(4096 * (pages + 1)) / "0.h5", 3)


def test_files_written_and_read_again_are_the_same(tmp_path: Path) -> None:
    with write_hdf5(tmp_path / "a.h5") as output:
        output.add("x/y", np.arange(5))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x/y"][:].tolist() == [0, 1, 2, 3, 4]


NO_LOCKS = """
#define _GNU_SOURCE
#include <errno.h>
int flock(int file, int operation) { errno = ENOLCK; return -1; }
"""


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no file can be locked, as on some network file systems."""
    folder = tmp_path_factory.mktemp("locks")
    (folder / "a.c").write_text(NO_LOCKS)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "a.so", folder / "a.c"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C compiler")
    known = {name: value for name, value in os.environ.items() if name != "HDF5_USE_FILE_LOCKING"}
    return known | {"LD_PRELOAD": str(folder / "a.so")}


USE = """
import sys
from pathlib import Path
import numpy as np
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, read_extra, shard_modality, write_shard
from stp.evaluation.scores import Scores, read_scores, write_scores
folder = Path(sys.argv[1])
with write_shard(folder / "0.h5", "of", {}) as shard:
    shard.write("a", np.ones((2, 2, 4, 4), np.uint8), inliers=np.arange(2))
print(ClipFields([folder / "0.h5"])["a"].sum(), shard_modality(folder / "0.h5"), read_extra(folder / "0.h5", "inliers"))
scores = Scores(RunName("of", "baseline", 1, 0), ("a", "b"), ("x",), np.zeros(1, int), np.ones((1, 1, 2), np.float32))
write_scores(folder / "s.h5", scores, {})
print(read_scores(folder / "s.h5").values.sum())
"""


def test_shards_and_scores_need_no_file_locks(tmp_path: Path, no_locks: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", USE, tmp_path], env=no_locks, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "64 of {'a': array([0, 1])}\n2.0\n"), done.stderr


def test_locks_that_are_demanded_but_not_granted_are_not_called_damage(
    tmp_path: Path, no_locks: dict[str, str]
) -> None:
    fill(tmp_path / "0.h5", 1)
    code = (
        "import sys; from pathlib import Path; from stp.data.shards import ClipFields; ClipFields([Path(sys.argv[1])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "0.h5"],
        env=no_locks | {"HDF5_USE_FILE_LOCKING": "TRUE"},
        capture_output=True,
        text=True,
    )
    line = done.stderr.splitlines()[-1]
    assert "0.h5: its file system grants no locks" in line
    assert line.endswith("set HDF5_USE_FILE_LOCKING=FALSE")
    assert "remove" not in line


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0.h5: cannot be read \(.*No such file") as caught:
        ClipFields([tmp_path / "0.h5"])
    assert "remove" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"), read_hdf5(tmp_path, "a shard", "remove it"):
        raise AssertionError("a folder was opened")
