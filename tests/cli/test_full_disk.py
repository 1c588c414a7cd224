"""A full disk is one line that names the file, whatever a command was writing; what is left is complete or absent."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stp.cli.app import main
from stp.config import StorageFormat
from stp.data.hdf5 import write_hdf5
from stp.data.index import Clip, write_index
from stp.data.shards import write_shard
from stp.extraction import flow_folder, stages
from stp.system.files import complete_file
from stp.training.checkpoints import Checkpoints
from tests.extraction.test_flow_folder import write_video

WIDTH, HEIGHT, FRAMES = 64, 48, 40
ROOM = 1 << 14


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of noise, a shorter one, the index of the first, and its frames and flow in shards."""
    folder = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 3, HEIGHT, WIDTH), dtype=np.uint8)
    video = write_video(folder / "a.avi", list(noise.transpose(0, 2, 3, 1)))
    write_video(folder / "short.avi", list(noise[:4].transpose(0, 2, 3, 1)))
    write_index(folder / "index.csv", [Clip("wave/a", str(video), "wave", frames=FRAMES)])
    for modality, channels in (("rgb", 3), ("of", 2)):
        with write_shard(folder / f"{modality}.h5", modality, {"bound": 4.0}) as shard:
            shard.write("wave/a", noise[:, :channels])
    return folder


def errors(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> list[str]:
    """The lines of errors of a command that ends with exit status 1."""
    monkeypatch.setattr(sys, "argv", ["stp", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    return [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


COMMANDS = {
    "demo": ("demo DISK/demo --clips-per-class 2 --width 320 --height 240", "mp4"),
    "frames": (f"frames DATA/index.csv -o DISK/0.h5 --width {WIDTH} --height {HEIGHT}", "0.h5"),
    "jpeg frames": ("frames DATA/index.csv -o DISK/0.h5 --width 340 --height 256 --storage jpeg", "0.h5"),
    "extract": ("extract DATA/rgb.h5 DISK/of.h5", "of.h5"),
    "extract warped": ("extract DATA/rgb.h5 OTHER/of.h5 DISK/wof.h5", "wof.h5"),
    "h5": ("flow DATA/a.avi -o DISK/f --format h5", "f/of/a.h5"),
    "npy": ("flow DATA/a.avi -o DISK/f --format npy", "f/of/a.npy"),
    "png": ("flow DATA/a.avi -o DISK/f --format png", "f/of/a"),
    "jpg": ("flow DATA/short.avi -o DISK/f --format jpg --size 340x256", "f/of/short"),
    "mp4": ("flow DATA/a.avi -o DISK/f --format mp4 --size 170x128 --bound 0.1", "f/of/a.mp4"),
    "examples": ("examples DATA/index.csv DATA/rgb.h5 DATA/of.h5 -o DISK/e", "e/wave__a."),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_that_names_the_file(
    name: str,
    data: Path,
    small_disk: Callable[[int], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (flow_folder, stages):  # as if another program filled the disk meanwhile
        monkeypatch.setattr(module, "check_room", lambda *_: None)
    command, file = COMMANDS[name]
    disk = small_disk(ROOM)
    folders = {"DATA": data, "DISK": disk, "OTHER": tmp_path / "other"}
    for word, folder in folders.items():
        command = command.replace(word, str(folder))
    (line,) = errors(caplog, monkeypatch, *command.split())
    assert "the disk is full" in line
    assert "moov atom" not in capfd.readouterr().err  # as FFmpeg says of an mp4
    assert file in line.split(": ")[0]
    left = [path for path in disk.rglob("*") if path.is_file()]
    assert not [path for path in left if path.name.startswith(".")]
    assert name == "demo" or {path.name for path in left} <= {"flow.json", "wave__a.png", "wave__a.pdf"}


@pytest.mark.parametrize("name", ["frames", "extract", "h5", "npy"])
def test_room_is_asked_for_before_the_work(
    name: str,
    data: Path,
    small_disk: Callable[[int], Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, _ = COMMANDS[name]
    disk = small_disk(ROOM)
    (line,) = errors(caplog, monkeypatch, *command.replace("DATA", str(data)).replace("DISK", str(disk)).split())
    assert f"MiB in '{disk}', where 0.0 MiB are free; make room" in line
    assert list(disk.iterdir()) == []


def test_a_full_disk_under_a_training_is_an_error_that_names_its_file(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(ROOM)
    with pytest.raises(OSError, match=r"No space left on device: '.*\.pt'"):
        Checkpoints(disk, {"a": 1}).save({"weights": torch.zeros(100_000)})
    assert list(disk.iterdir()) == []


def test_jpeg_is_refused_only_where_it_cannot_fit(tmp_path: Path) -> None:
    from stp.data.shards import least_bytes

    rng = np.random.default_rng(0)
    for channels in (2, 3):
        for still in (np.zeros(1), np.full(1, 128), rng.integers(0, 256, 48 * 64)):
            fields = np.empty((3, channels, 48, 64), np.uint8)
            fields[:] = np.resize(still, (48, 64))
            path = tmp_path / "0.h5"
            with write_shard(path, "rgb" if channels == 3 else "of", {}, StorageFormat("jpeg", 95)) as shard:
                shard.write("a", fields)
            least = least_bytes(fields.shape, StorageFormat("jpeg", 95))
            assert 0 < least <= path.stat().st_size
    assert least_bytes((3, 2, 48, 64)) == 3 * 2 * 48 * 64


def test_hdf5_and_text_in_one_block_each_name_their_own_file(small_disk: Callable[[int], Path], tmp_path: Path) -> None:
    disk = small_disk(ROOM)

    def write() -> None:
        with complete_file(tmp_path / "a.csv") as text, write_hdf5(disk / "b.h5") as output:
            text.touch()
            output.add("x", np.zeros(1 << 20))

    with pytest.raises(OSError, match=r"No space left on device: '.*b\.h5'"):
        write()
