"""First-person videos: their index and frames, and what is said where they are missing, damaged or changed."""

import logging
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.index import Clip, read_index, write_index
from stp.data.shards import ClipFields
from stp.errors import UserError
from tests.data.test_index import write_video


def stp(*words: object) -> None:
    """Run a subcommand; its error is raised."""
    CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips with both views, of other lengths, and their index."""
    clips = []
    for name, frames in (("nod/a", 5), ("wave/b", 7)):
        second, first = (write_video(tmp_path / f"{name}_{view}.mp4", frames + (view == "f")) for view in "sf")
        clips.append(Clip(name, str(second), name.split("/")[0], frames=frames, first_person=str(first)))
    write_index(tmp_path / "index.csv", clips)
    return tmp_path


def index_them(folder: Path, *options: object) -> dict[str, Clip]:
    stp("first-person", folder / "index.csv", "-o", folder / "first_person.csv", *options)
    return {clip.clip: clip for clip in read_index(folder / "first_person.csv").clips}


def frames_of(folder: Path, output: str) -> ClipFields:
    size = ("--width", 16, "--height", 12, "--shards", 1)
    stp("frames", folder / "first_person.csv", "--modality", "first", *size, "-o", folder / output)
    return ClipFields([folder / output])


def test_first_person_frames_are_stored_as_a_modality_of_their_own(folder: Path) -> None:
    found = index_them(folder)
    assert {name: clip.frames for name, clip in found.items()} == {"nod/a": 6, "wave/b": 8}
    fields = frames_of(folder, "0.h5")
    assert fields.modality == "first"
    assert {clip: fields.shape(clip) for clip in fields.clips()} == {"nod/a": (6, 3, 12, 16), "wave/b": (8, 3, 12, 16)}


def test_a_changed_first_person_video_is_noticed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = index_them(folder, "--keep")
    write_video(folder / "nod/a_f.mp4", frames=9)
    with pytest.raises(
        UserError, match=r"a_f.mp4: the video or its boxes have changed since the index; make the index"
    ):
        frames_of(folder, "0.h5")
    with caplog.at_level(logging.INFO):
        after = index_them(folder, "--keep")
    assert "1 videos are as before and were not decoded again" in caplog.text
    assert after["wave/b"] == before["wave/b"]
    assert after["nod/a"].frames == 9
    assert after["nod/a"].digest != before["nod/a"].digest
    assert len(frames_of(folder, "0.h5")["nod/a"]) == 9


def test_videos_of_a_folder_are_found_by_the_clips_names(folder: Path) -> None:
    write_video(folder / "views/nod/a.mp4", frames=3)
    write_video(folder / "views/wave/b.mp4", frames=4)
    found = index_them(folder, "--videos", folder / "views")
    assert {name: clip.frames for name, clip in found.items()} == {"nod/a": 3, "wave/b": 4}


def test_clips_without_first_person_video_are_one_line(folder: Path) -> None:
    clips = read_index(folder / "index.csv").clips
    write_index(folder / "index.csv", [clips[0], Clip("wave/b", clips[1].path, "wave", frames=7)])
    words = r"^methods.mpov needs first-person video, which 1 of 2 clips lack, such as 'wave/b': [^\n]*$"
    with pytest.raises(UserError, match=words):
        index_them(folder, "--for", "methods.mpov")


def test_an_index_is_not_made_for_a_method_that_needs_the_videos_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "videos/nod").mkdir(parents=True)
    (tmp_path / "videos/nod/a.mp4").write_text("would not decode")  # which is said later
    index = ("index", tmp_path / "videos", "-o", tmp_path / "index.csv", "--skipped", tmp_path / "skipped.csv")
    with pytest.raises(
        UserError, match=r"methods.mpov needs first-person video, which 1 of 1 clips lack, such as 'nod/a'"
    ):
        stp(*index, "--first-person-for", "methods.mpov")
    with pytest.raises(UserError, match="1 of 1 videos do not decode"):
        stp(*index)


@pytest.mark.parametrize("on_bad_video", ["error", "skip"])
def test_first_person_videos_that_do_not_decode_are_named(on_bad_video: str, folder: Path) -> None:
    (folder / "nod/a_f.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"1 of 2 first-person videos do not decode; .*\n  .*a_f.mp4: cannot be opened"):
        index_them(folder, "--on-bad-video", on_bad_video)


def test_the_frames_of_a_damaged_first_person_video_are_used_on_request(folder: Path) -> None:
    long = write_video(folder / "nod/a_f.avi", frames=60, width=320, height=240)
    content = long.read_bytes()
    long.write_bytes(content[: len(content) // 2])
    clips = read_index(folder / "index.csv").clips
    damaged = Clip("nod/a", clips[0].path, "nod", frames=5, first_person=str(long))
    write_index(folder / "index.csv", [damaged, clips[1]])
    found = index_them(folder, "--on-bad-video", "use")
    assert 0 < found["nod/a"].frames < 60
    assert len(frames_of(folder, "0.h5")["nod/a"]) == found["nod/a"].frames
    assert np.ptp(frames_of(folder, "1.h5")["wave/b"][:]) > 0
