"""Adding clips redoes only what is new: what is taken over is what would be made from scratch."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.index import Clip, Index, place, read_index
from stp.data.shards import read_extra
from stp.extraction import engine, reuse, stages
from stp.video import identity
from tests.workflow.test_workflow import index_config, snakemake


def draw(path: Path, seed: int, frames: int = 4) -> Path:
    """A video of a texture that moves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    noise = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    for t in range(frames):
        writer.write(np.roll(texture, t, 1))
    writer.release()
    return path


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for number in range(6):
        draw(tmp_path / f"videos/{'nod' if number % 2 else 'wave'}/{number}.mp4", number)
    return tmp_path / "videos"


class Work:
    """The videos that are decoded and the pairs whose flow is computed, counted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.checked, self.decoded, self.pairs = [], [], 0  # type: list[str], list[str], int
        check = identity.check_video

        def checked(clip: Clip) -> object:
            self.checked.append(Path(clip.path).stem)
            return check(clip)

        patch.setattr(identity, "check_video", checked)
        patch.setattr(stages, "decode", self._counting(stages.decode, self.decoded))
        tvl1 = engine.tvl1

        def counted(previous: np.ndarray, *arguments: Any) -> np.ndarray:
            self.pairs += len(previous)
            return tvl1(previous, *arguments)

        patch.setattr(engine, "tvl1", counted)

    @staticmethod
    def _counting(function: Callable[..., Any], seen: list[str]) -> Callable[..., Any]:
        def counted(path: str, *arguments: Any) -> Any:
            seen.append(Path(path).stem)
            return function(path, *arguments)

        return counted

    def take(self) -> tuple[list[str], list[str], int]:
        """Videos checked, videos decoded and pairs of flow since the last call."""
        taken = sorted(self.checked), sorted(self.decoded), self.pairs
        self.checked.clear()
        self.decoded.clear()
        self.pairs = 0
        return taken


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def stp(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)


def make(videos: Path, results: Path, *storage: str, keep: bool = True, width: int = 64) -> None:
    """Index, frames, flow and warped flow, in two shards; Snakemake removes outputs before it makes them again."""
    for path in results.glob("**/*"):
        if path.is_file() and path.suffix != ".kept":
            path.unlink()
    kept = ["--keep"] if keep else []
    stp("index", videos, "-o", results / "index.csv", "--skipped", results / "skipped.csv", *kept)
    for shard in (0, 1):
        rgb, of, wof = (results / f"{name}/{shard}.h5" for name in ("rgb", "of", "wof"))
        which = ("--shard", shard, "--shards", 2, "--width", width, "--height", 48)
        stp("frames", results / "index.csv", "-o", rgb, *which, *storage, *kept)
        stp("extract", rgb, of, wof, *storage, *kept)


def content(folder: Path) -> dict[str, Any]:
    """Every array of every shard by modality and name, with its attributes, and the shards' own attributes."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*/*.h5")):
        with h5py.File(path) as file:
            found[path.parent.name] = dict(file.attrs)

            def visit(name: str, item: h5py.Group | h5py.Dataset, kind: str = path.parent.name) -> None:
                if isinstance(item, h5py.Dataset):
                    attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
                    found[f"{kind}/{name}"] = (item[()].tobytes(), item.shape, str(item.dtype), attributes)

            file.visititems(visit)
    return found


@pytest.mark.parametrize("storage", [(), ("--storage", "jpeg")], ids=["raw", "jpeg"])
def test_a_new_clip_is_all_that_is_decoded_and_all_whose_flow_is_computed(
    storage: tuple[str, ...], videos: Path, tmp_path: Path, work: Work
) -> None:
    make(videos, tmp_path / "results", *storage)
    names = [str(number) for number in range(6)]
    assert work.take() == (names, names, 2 * 6 * 3)
    draw(videos / "nod/0new.mp4", 7, frames=6)  # comes first, so that all others have other places in the index
    make(videos, tmp_path / "results", *storage)
    assert work.take() == (["0new"], ["0new"], 2 * 5)
    make(videos, tmp_path / "scratch", *storage, keep=False)
    assert content(tmp_path / "results") == content(tmp_path / "scratch")


def test_a_changed_video_is_made_again_and_a_removed_one_is_gone(videos: Path, tmp_path: Path, work: Work) -> None:
    make(videos, tmp_path / "results")
    work.take()
    draw(videos / "wave/2.mp4", 9)  # other content of the same length under the same name
    (videos / "nod/3.mp4").unlink()
    make(videos, tmp_path / "results")
    assert work.take() == (["2"], ["2"], 2 * 3)
    make(videos, tmp_path / "scratch", keep=False)
    assert content(tmp_path / "results") == content(tmp_path / "scratch")
    assert "rgb/clips/nod/3" not in content(tmp_path / "results")


def test_where_nothing_changed_files_come_back_as_they_were(videos: Path, tmp_path: Path, work: Work) -> None:
    results = tmp_path / "results"
    make(videos, results)
    before = {path: path.read_bytes() for path in results.glob("**/*.*")}
    work.take()
    for path in videos.glob("*/*.mp4"):
        os.utime(path, (1, 1))  # neither the time of writing nor the folder counts
    make(videos.rename(tmp_path / "moved"), results)
    assert work.take() == ([], [], 0)
    shards = {path: content for path, content in before.items() if path.parent.name in ("rgb", "of", "wof")}
    assert len(shards) == 2 * 2 * 3
    assert {path: path.read_bytes() for path in shards} == shards


def test_new_boxes_of_a_clip_make_it_again(videos: Path, tmp_path: Path, work: Work) -> None:
    make(videos, tmp_path / "results")
    work.take()
    (videos / "nod/1.boxes.csv").write_text("frame,x0,y0,x1,y1\n0,0,0,8,8\n")
    make(videos, tmp_path / "results")
    assert work.take() == (["1"], ["1"], 2 * 3)
    boxes = {name for shard in (0, 1) for name in read_extra(tmp_path / f"results/rgb/{shard}.h5", "boxes")}
    assert boxes == {"nod/1"}


@pytest.mark.parametrize("changed", ["size", "versions", "decoders"])
def test_other_parameters_or_versions_make_all_again(
    changed: str, videos: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(videos, tmp_path / "results")
    work.take()
    if changed == "versions":
        monkeypatch.setattr(reuse, "versions", lambda: {"stp": "another"})
    elif changed == "decoders":
        monkeypatch.setattr("stp.video.identity._decoders", lambda: "others")
    make(videos, tmp_path / "results", width=32 if changed == "size" else 64)
    names = [str(number) for number in range(6)]
    assert work.take() == (names if changed == "decoders" else [], names, 2 * 6 * 3)


def test_a_kept_file_that_cannot_be_read_is_named_and_not_used(
    videos: Path, tmp_path: Path, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    make(videos, tmp_path / "results")
    work.take()
    for path in tmp_path.glob("results/*/*.kept"):
        path.unlink()
        path.write_bytes(b"no shard")
    (tmp_path / "results/index.csv.kept").write_text("no,index\n")
    make(videos, tmp_path / "results")
    names = [str(number) for number in range(6)]
    assert work.take() == (names, names, 2 * 6 * 3)
    assert "rgb/0.h5.kept: cannot be used, all clips are made again" in caplog.text
    assert "all videos are decoded again: " in caplog.text


def test_a_damaged_clip_is_not_taken_over(
    videos: Path, tmp_path: Path, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    make(videos, tmp_path / "results")
    work.take()
    kept = tmp_path / "results/rgb/0.h5.kept"
    with h5py.File(kept) as file:
        first = file["clips/wave/2"].id.get_offset()
    content_of_file = bytearray(kept.read_bytes())
    content_of_file[first + 100] ^= 1
    kept.write_bytes(content_of_file)
    make(videos, tmp_path / "results")
    assert work.take() == ([], ["2"], 0)
    assert "rgb/0.h5.kept: clip 'wave/2' is made again (it differs from its digest" in caplog.text
    make(videos, tmp_path / "scratch", keep=False)
    assert content(tmp_path / "results") == content(tmp_path / "scratch")


def test_without_hard_links_nothing_is_kept(
    videos: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    with caplog.at_level(logging.INFO):
        make(videos, tmp_path / "results")
    assert list(tmp_path.glob("results/**/*.kept")) == []
    assert "rgb/0.h5: is not kept for later ([Errno 95] Operation not supported)" in caplog.text


def test_what_was_kept_comes_back_as_a_copy_where_there_are_no_hard_links_any_more(
    videos: Path, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    make(videos, results)
    shards = {path: path.read_bytes() for path in results.glob("*/*.h5")}
    work.take()

    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    for path in shards:
        os.utime(path, (1, 1))  # the times of what is kept, too
    make(videos, results)
    assert work.take() == ([], [], 0)
    assert len(shards) == 2 * 3
    assert {path: path.read_bytes() for path in shards} == shards
    for path in shards:
        assert not path.samefile(reuse.kept_name(path))
        assert path.stat().st_mtime > 1  # or Snakemake would make it again


def test_clips_stay_in_their_shards_and_new_ones_fill_the_gaps() -> None:
    index = Index(tuple(place([Clip(name, "", "a") for name in "bdfh"], None)))
    assert index.slots == {"b": 0, "d": 1, "f": 2, "h": 3}
    later = Index(tuple(place([Clip(name, "", "a") for name in "abceh"], index)))
    assert later.slots == {"a": 1, "b": 0, "c": 2, "e": 4, "h": 3}
    assert [[clip.clip for clip in later.shard(number, 2)] for number in (0, 1)] == [["b", "c", "e"], ["a", "h"]]


def test_an_index_without_slots_has_the_shards_that_it_always_had(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("clip,path,label,frames\n" + "".join(f"{i},v.mp4,a,1\n" for i in range(5)))
    index = read_index(tmp_path / "index.csv")
    assert [[clip.clip for clip in index.shard(number, 2)] for number in (0, 1)] == [["0", "2", "4"], ["1", "3"]]
    assert place(index.clips, None) == place(index.clips, index)


def test_the_workflow_redoes_only_what_is_new(videos: Path, tmp_path: Path) -> None:
    config = index_config(videos, modalities=["of", "wof"], storage={})
    targets = [f"o u t/clips/wof/{shard}.h5" for shard in (0, 1)]
    assert snakemake(tmp_path, config, *targets).returncode == 0
    draw(videos / "nod/0new.mp4", 7)
    result = snakemake(tmp_path, config, *targets)
    assert result.returncode == 0, result.stdout
    logs = {path.parent.name: "" for path in tmp_path.glob("o u t/logs/*/*.log")}
    for path in sorted(tmp_path.glob("o u t/logs/*/*.log")):
        logs[path.parent.name] += path.read_text()
    assert "6 videos are as before and were not decoded again" in (tmp_path / "o u t/logs/index.log").read_text()
    assert sorted(re.findall(r"\d of \d clips are as before", logs["frames"])) == [
        "3 of 3 clips are as before",
        "3 of 4 clips are as before",
    ]
    assert "1 clips, 3 pairs" in logs["flow"]
    assert "Nothing to be done" in snakemake(tmp_path, config, *targets).stdout
