"""Files under their final names are complete, whatever the disk does."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stp.system.files import MACHINE, DiskFile, clip_file_name, complete_file, complete_folder


def test_a_file_appears_when_the_block_has_ended_well(tmp_path: Path) -> None:
    with complete_file(tmp_path / "a" / "b.csv") as temporary:
        temporary.write_text("x")
        assert not (tmp_path / "a/b.csv").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.csv"]
    with pytest.raises(ZeroDivisionError), complete_file(tmp_path / "a/b.csv") as temporary:
        temporary.write_text(f"y{1 / 0}")
    assert (tmp_path / "a/b.csv").read_text() == "x"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.csv"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_replaced_by_the_folder_and_what_it_leads_to_stays(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "own").mkdir()
        (tmp_path / "own/x").write_text("own")
    (tmp_path / "a").symlink_to(tmp_path / "own")
    with pytest.raises(ZeroDivisionError), complete_folder(tmp_path / "a") as folder:
        (folder / f"{1 / 0}").touch()
    assert (tmp_path / "a").is_symlink()
    with complete_folder(tmp_path / "a") as folder:
        (folder / "y").write_text("new")
    assert not (tmp_path / "a").is_symlink()
    assert {path.name: path.read_text() for path in (tmp_path / "a").iterdir()} == {"y": "new"}
    assert {path.name: path.read_text() for path in tmp_path.glob("own/*")} == ({"x": "own"} if there else {})
    assert {path.name for path in tmp_path.iterdir()} == {"a", "own"} if there else {"a"}


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" * 251 + ".mp4"])
def test_names_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    with complete_file(tmp_path / name, suffix=".mp4") as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_text("x")
    with complete_folder(tmp_path / "folder" / name) as folder:
        (folder / "x").touch()
    assert (tmp_path / name).read_text() == "x"
    assert (tmp_path / "folder" / name / "x").exists()


def test_long_names_with_one_beginning_have_different_temporary_files(tmp_path: Path) -> None:
    with complete_file(tmp_path / ("a" * 254 + "1")) as first, complete_file(tmp_path / ("a" * 254 + "2")) as second:
        assert first != second
        first.touch()
        second.touch()


def write_too_much(path: Path) -> None:
    with complete_file(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(1 << 20))


def test_a_full_disk_is_an_error_that_names_the_file(small_disk: object) -> None:
    path = small_disk(1 << 16) / "a.csv"  # type: ignore[operator]
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.csv'") as caught:
        write_too_much(path)
    assert caught.value.errno == errno.ENOSPC
    assert list(path.parent.iterdir()) == []


def test_the_first_error_of_the_disk_is_kept_from_the_library_and_raised_afterwards() -> None:
    file = DiskFile(Path("/dev/full"))
    file.check()
    assert file.write(b"four") == 4
    assert file.write(b"more") == 4
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        file.check()
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        file.close()


def test_a_disk_file_is_a_file(tmp_path: Path) -> None:
    with DiskFile(tmp_path / "a") as file:
        assert file.write(b"abcdef") == 6
        file.seek(2)
        file.write(memoryview(b"XY"))
        file.truncate(5)
    assert (tmp_path / "a").read_bytes() == b"abXYe"


def test_torch_saves_the_same_tensors_into_a_disk_file(tmp_path: Path) -> None:
    with DiskFile(tmp_path / "a.pt") as file:
        torch.save({"a": torch.arange(1000)}, file)
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True)["a"], torch.arange(1000))


def test_the_content_is_on_the_disk_before_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")  # as network file systems report what they could not write

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), complete_file(tmp_path / "a") as temporary:
        temporary.touch()
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_was_given_up_cannot_write_into_the_file_of_the_next(tmp_path: Path) -> None:
    with complete_file(tmp_path / "a") as given_up, given_up.open("w") as late:
        late.write("be")
        with complete_file(tmp_path / "a") as temporary:
            temporary.write_text("whole")
        late.write("tween")
        late.flush()
        assert (tmp_path / "a").read_text() == "whole"
    assert (tmp_path / "a").read_text() == "between"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    for process in (killed.pid, os.getppid()):
        for name in ("a.h5", "b"):
            (tmp_path / f".{name}.{MACHINE}-{process}-0.part").touch()
        (tmp_path / f".folder.{MACHINE}-{process}-0.part" / "deeper").mkdir(parents=True)
    others = {f".a.{'0' * 6}-{killed.pid}-0.part", ".own.part", "own.part"}
    for name in others:
        (tmp_path / name).touch()
    with complete_file(tmp_path / "c") as temporary:
        temporary.touch()
    alive = {f".{name}.{MACHINE}-{os.getppid()}-0.part" for name in ("a.h5", "b", "folder")}
    assert {path.name for path in tmp_path.iterdir()} == {"c", *others, *alive}


def test_what_a_container_of_the_same_host_name_writes_stays(tmp_path: Path) -> None:
    own_numbers = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*own_numbers, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to number processes anew, as a container does")
    program = (
        "import os, pathlib, sys\n"
        "from stp.system.files import part_name\n"
        "os.getpid = lambda: int(sys.argv[2])\n"
        "part_name(pathlib.Path(sys.argv[1])).touch()\n"
    )
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()  # a number that no process of this side has
    subprocess.run([*own_numbers, sys.executable, "-c", program, str(tmp_path / "a"), str(ended.pid)], check=True)
    (written,) = tmp_path.iterdir()
    with complete_file(tmp_path / "b") as temporary:
        temporary.touch()
    assert written.exists()


def test_files_on_a_clip_have_its_id_and_never_too_long_a_name() -> None:
    assert clip_file_name("wave/a 1") == "wave__a 1"
    long = [clip_file_name("wave/" + "é" * 300 + end) for end in "ab"]
    assert len(set(long)) == 2
    assert all(name.startswith("wave__é") and len(name.encode()) <= 200 for name in long)
