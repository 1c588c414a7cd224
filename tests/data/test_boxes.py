"""Person boxes: read in pixels of the stored frames; errors name file and line."""

from pathlib import Path

import numpy as np
import pytest

from stp.data.boxes import read_boxes
from stp.errors import UserError


def test_boxes_are_scaled_and_sorted_into_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.boxes.csv"
    path.write_text("frame,x0,y0,x1,y1\n2,10,20,30.5,40\n\n0,-4,0,8,6\n2,1,2,3,4\n")
    boxes = read_boxes(path, frames=4, scale_x=0.5, scale_y=2)
    assert [box.dtype for box in boxes] == [np.float32] * 4
    assert [box.tolist() for box in boxes] == [[[-2, 0, 4, 12]], [], [[5, 40, 15.25, 80], [0.5, 4, 1.5, 8]], []]
    assert [box.shape for box in boxes] == [(1, 4), (0, 4), (2, 4), (0, 4)]
    assert boxes[2].tolist() == read_boxes(str(path), 3, 0.5, 2)[2].tolist()


def test_a_clip_without_people_has_no_boxes(tmp_path: Path) -> None:
    path = tmp_path / "a.boxes.csv"
    path.write_text("frame,x0,y0,x1,y1\r\n", encoding="utf-8-sig")
    assert [box.shape for box in read_boxes(path, 2, 1, 1)] == [(0, 4), (0, 4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 is ''; boxes have the columns frame,x0,y0,x1,y1"),
        ("frame,x,y,w,h\n0,1,2,3,4\n", "line 1 is 'frame,x,y,w,h'"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,4\n1,1,2,3\n", "line 3: '1,1,2,3' is not a frame's number and four coordinates"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,4,5\n", "line 2: '0,1,2,3,4,5' is not"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,wide\n", "line 2: '0,1,2,3,wide' is not"),
        ("frame,x0,y0,x1,y1\n0.5,1,2,3,4\n", "line 2: '0.5,1,2,3,4' is not"),
        ("frame,x0,y0,x1,y1\n5,1,2,3,4\n", "line 2: frame 5 does not exist; the clip has frames 0 to 4"),
        ("frame,x0,y0,x1,y1\n-1,1,2,3,4\n", "line 2: frame -1 does not exist"),
        ("frame,x0,y0,x1,y1\n\n\n0,3,2,3,4\n", "line 4: box 3,2,3,4 is empty"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,nan\n", "line 2: box 1,2,3,nan is empty"),
    ],
)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.boxes.csv"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_boxes(path, 5, 1, 1)
    assert f"{path}: {message}" in str(error.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"frame,x0,y0,x1,y1\n\xff\xfe")
    for name, reason in (("absent.csv", "boxes cannot be read"), ("binary.csv", "line 2 is not UTF-8 text")):
        with pytest.raises(UserError, match=f"{name}: {reason}"):
            read_boxes(tmp_path / name, 5, 1, 1)
