"""Text files and csv tables that are read without surprises: what is damaged is refused in one line.

A table that the program writes has a last column `check`, a digest of each row. A row that was changed afterwards is
noticed when it is read; an empty cell says that the change is meant. A table without that column is taken as it is.
"""

import csv
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stp.errors import UserError
from stp.system.files import complete_file, kind_of_file

CHECK = "check"
SEPARATOR = "\0"  # no cell has one
Row = dict[str, str]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        UserError: the file is in another encoding, or has bytes that no text has.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if (kind := kind_of_file(path)) not in ("", "a text"):
            raise UserError(f"{path}: not a text, but {kind}; give the right file") from None
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: line {line} is not UTF-8 text; save the file with the encoding UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}: line {line} has a NUL byte, which no text file has; replace the damaged file")
    return text


def row_check(row: Mapping[str, str]) -> str:
    """The digest of a row, its cells by name: a CRC-32, which every changed bit changes, in 8 hexadecimal digits.

    Empty cells do not count, so that later versions may add columns.
    """
    text = SEPARATOR.join(f"{name}={cell}" for name, cell in row.items() if cell)
    return f"{zlib.crc32(text.encode()):08x}"


def write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a csv with these columns and `check`; the file appears only when it is complete."""
    with complete_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, CHECK])
        writer.writerows(with_check(names, row) for row in rows)


def with_check(names: Sequence[str], cells: Sequence[str]) -> list[str]:
    """A row with its digest, as `write_table` writes it."""
    return [*cells, row_check(dict(zip(names, cells, strict=True)))]


def read_table(path: Path, text: str | None = None) -> tuple[list[str], list[tuple[int, Row]]]:
    """The names in the first line of a csv, and its rows: the number of a row's last line, and its cells by name.

    `text` is the content of the file, if it was read before. Rows without any text are left out.

    Raises:
        UserError: the file is no csv in UTF-8, a name stands twice in its first line, or a row has more or fewer cells.
    """
    text = read_text(path) if text is None else text
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        names = next(reader, [])
        if len(set(names)) != len(names):
            raise UserError(f"{path}: line 1 names a column twice: {','.join(names)}")
        if CHECK in names and not text.endswith("\n"):
            raise UserError(f"{path}: the last line has no end: the file was cut off, or add a line break to the end")
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(names):
                where = f"{path}: line {reader.line_num}"
                raise UserError(f"{where} has {len(cells)} cells, but line 1 names {len(names)} columns; fix the row")
            rows.append((reader.line_num, dict(zip(names, cells, strict=True))))
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} cannot be read as csv ({error}); fix the line") from None
    return names, rows


def verify_rows(path: Path, rows: Iterable[tuple[int, Mapping[str, str]]], names: Sequence[str], again: str) -> None:
    """Raise a UserError for the first row that was changed after it was written.

    Args:
        path: the file, for the message.
        rows: as from `read_table`.
        names: the columns that `write_table` writes.
        again: how the file is made again, for the message.
    """
    for line, row in rows:
        known = {name: row.get(name, "") for name in names}
        if row.get(CHECK) and row[CHECK] != row_check(known):
            raise UserError(
                f"{path}: line {line} ('{known[names[0]]}') was changed after it was written; {again}, or empty its "
                f"cell in column {CHECK} if the change is meant"
            )
