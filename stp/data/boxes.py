"""Person boxes of a clip, read from the csv of a detector or an annotator."""

import csv
import io
from pathlib import Path

import numpy as np

from stp.errors import UserError
from stp.system.tables import read_text

HEADER = ["frame", "x0", "y0", "x1", "y1"]


def read_boxes(path: str | Path, frames: int, scale_x: float, scale_y: float) -> list[np.ndarray]:
    """Boxes of every frame of a clip.

    Args:
        path: csv with the columns frame, x0, y0, x1, y1. Frames count from 0; boxes are in pixels of the video, x
            rightwards and y downwards, x1 and y1 just outside. A frame may have any number of rows, or none.
        frames: number of the clip's frames.
        scale_x: width of the stored frames relative to the video's.
        scale_y: height of the stored frames relative to the video's.

    Returns:
        For each frame float32 (n, 4), x0, y0, x1, y1 in pixels of the stored frames, in the order of the file.

    Raises:
        UserError: the file cannot be read, has other columns, or has a row that is not a box of the clip.
    """
    boxes: list[list[list[float]]] = [[] for _ in range(frames)]
    try:
        reader = csv.reader(io.StringIO(read_text(Path(path)), newline=""))
        header = [name.strip() for name in next(reader, [])]
        if header != HEADER:
            raise UserError(f"{path}: line 1 is {','.join(header)!r}; boxes have the columns {','.join(HEADER)}")
        for row in filter(None, reader):
            frame, box = parse_row(row, frames, f"{path}: line {reader.line_num}")
            boxes[frame].append(box)
    except (OSError, csv.Error) as error:
        raise UserError(
            f"{path}: boxes cannot be read ({error}); give a csv with the columns {','.join(HEADER)}"
        ) from None
    scale = np.array([scale_x, scale_y, scale_x, scale_y])
    return [(np.array(rows, np.float64).reshape(-1, 4) * scale).astype(np.float32) for rows in boxes]


def parse_row(row: list[str], frames: int, where: str) -> tuple[int, list[float]]:
    """Frame and box (x0, y0, x1, y1) of one row; `where` names the row in errors."""
    try:
        number, *coordinates = row
        frame = int(number)
        x0, y0, x1, y1 = box = [float(coordinate) for coordinate in coordinates]
    except ValueError:
        raise UserError(f"{where}: {','.join(row)!r} is not a frame's number and four coordinates in pixels") from None
    if not 0 <= frame < frames:
        raise UserError(f"{where}: frame {frame} does not exist; the clip has frames 0 to {frames - 1}")
    if not np.isfinite(box).all() or x1 <= x0 or y1 <= y0:
        raise UserError(f"{where}: box {','.join(coordinates)} is empty; x1 must be beyond x0 and y1 beyond y0")
    return frame, box
