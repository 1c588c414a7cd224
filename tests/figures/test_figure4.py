"""Figure 4: a column for every class, also for many classes, and the words above the columns."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image

from stp.cli.app import app
from stp.data.index import Clip, Index, write_index
from stp.data.shards import ClipFields, write_shard
from stp.figures.figure4 import MOST, bands, draw, one_of_each_class
from stp.figures.style import STYLE, styled


def shard_of(folder: Path, clips: list[Clip]) -> Path:
    """A shard of 9 frames of each clip; frame t has the brightness 20 t."""
    frames = np.broadcast_to(20 * np.arange(9, dtype=np.uint8)[:, None, None, None], (9, 3, 24, 32))
    with write_shard(folder / "rgb.h5", "rgb", {}) as shard:
        for clip in clips:
            shard.write(clip.clip, np.ascontiguousarray(frames))
    return folder / "rgb.h5"


@given(st.integers(1, 300))
def test_bands_have_every_column_once_and_are_no_wider_than_the_page(number: int) -> None:
    assert [column for band in bands(number) for column in band] == list(range(number))
    assert max(len(band) for band in bands(number)) <= MOST


def test_a_clip_of_every_class_is_shown_and_no_hidden_one(tmp_path: Path) -> None:
    clips = [Clip(f"class {n % 12:02}/{n}", "", f"class {n % 12:02}") for n in range(24)] + [Clip("hidden", "", "")]
    write_index(tmp_path / "index.csv", tuple(clips))
    shard = shard_of(tmp_path, clips)
    arguments = ["figure4", str(tmp_path / "index.csv"), str(shard), "-o", str(tmp_path / "figure4")]
    app(arguments, standalone_mode=False)
    names = ", ".join(clip.clip for clip in clips[:12])
    title = f"Figure 4: a clip of each of the 12 classes: {names}"
    assert Image.open(tmp_path / "figure4.png").info["Title"] == title
    assert (tmp_path / "figure4.pdf").is_file()


def test_classes_are_shown_by_different_people_where_they_are_known() -> None:
    people = ("ann", "ann", "bob", "eve")
    clips = [Clip(f"{label}/{n}", "", label, people[n]) for label in "abcd" for n in range(4 if label != "c" else 2)]
    shown = one_of_each_class(Index(tuple(clips)))
    assert [clip.clip for clip in shown] == ["a/0", "b/2", "c/0", "d/0"]
    assert [clip.group for clip in shown] == ["ann", "bob", "ann", "ann"]


def test_a_column_has_frames_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    clip = Clip("nod/1", "", "nod")
    figure = draw([clip], ClipFields([shard_of(tmp_path, [clip])]))
    shown = sorted(figure.axes, key=lambda ax: -ax.get_position().y0)
    assert [int(np.asarray(ax.images[0].get_array())[0, 0, 0]) // 20 for ax in shown] == [1, 3, 5, 7]
    plt.close(figure)


@pytest.mark.parametrize("number", [1, 7, 52])
def test_names_of_classes_lie_above_their_own_columns(number: int, tmp_path: Path) -> None:
    names = ["scratching or touching facial parts", "nodding", "a very long name of a class, of which not all is shown"]
    clips = [Clip(f"{n}", "", f"{names[n % 3]} {n}") for n in range(number)]
    fields = ClipFields([shard_of(tmp_path, clips)])
    with styled(names, [STYLE, {"figure.constrained_layout.use": False}]):
        figure = draw(clips, fields)
        figure.canvas.draw()
    assert len(figure.texts) == number
    images = [ax.get_window_extent() for ax in figure.axes]
    boxes = [text.get_window_extent() for text in figure.texts]
    for place, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
        others = [other for other in (*images, *boxes[:place]) if box.shrunk(0.98, 0.9).overlaps(other)]
        assert not others, figure.texts[place].get_text()
    plt.close(figure)
