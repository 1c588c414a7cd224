"""Text files and csv tables: what is damaged or in another encoding is one line, and changed rows are noticed."""

from pathlib import Path

import pytest

from stp.errors import UserError
from stp.system.tables import Row, read_table, read_text, verify_rows, write_table
from tests.damage import flipped, outcome

NAMES = ("clip", "label")
ROWS = [("a/1", "nod"), ("b,2", 'a "wave"\nof two lines'), ("é", "")]


def verified(path: Path) -> tuple[list[str], list[tuple[int, Row]]]:
    names, rows = read_table(path)
    verify_rows(path, rows, NAMES, "write it again")
    return names, rows


def test_a_table_reads_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", NAMES, ROWS)
    names, rows = read_table(tmp_path / "t.csv")
    assert names == ["clip", "label", "check"]
    assert [(row["clip"], row["label"]) for _, row in rows] == ROWS
    assert [line for line, _ in rows] == [2, 4, 5]
    verify_rows(tmp_path / "t.csv", rows, NAMES, "write it again")


def test_a_check_is_the_crc_32_of_the_cells(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", NAMES, [("a", "nod")])
    assert (tmp_path / "t.csv").read_text() == "clip,label,check\na,nod,2e2c735b\n"


def test_every_flipped_bit_of_a_table_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, NAMES, ROWS)
    content = path.read_bytes()
    begins = 8 * content.index(b"\n")
    for bit in range(8 * len(content)):
        path.write_bytes(flipped(content, bit))
        found = outcome(verified, path)
        if isinstance(found, UserError):
            assert "t.csv: " in str(found)
            continue
        names, rows = found
        same = [tuple(row.get(name) for name in NAMES) for _, row in rows] == ROWS
        assert same or (bit < begins and names[:2] != list(NAMES))  # another name is missed by whoever needs it


def test_a_changed_row_is_named_and_may_be_declared_meant(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, NAMES, [("a", "nod"), ("b", "wave")])
    text = path.read_text().replace("wave", "clap")
    path.write_text(text)
    line = r"t.csv: line 3 \('b'\) was changed after it was written; write it again, or empty its cell in column check"
    with pytest.raises(UserError, match=line):
        verify_rows(path, read_table(path)[1], NAMES, "write it again")
    path.write_text(text.rpartition(",")[0] + ",\n")
    verify_rows(path, read_table(path)[1], NAMES, "write it again")
    assert read_table(path)[1][1] == (3, {"clip": "b", "label": "clap", "check": ""})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"clip\na\nb\xe9\n", "line 3 is not UTF-8 text; save the file with the encoding UTF-8"),
        ("clip\na\n".encode("utf-16"), "line 1 is not UTF-8 text"),
        (b"clip,check\na,", "the last line has no end: the file was cut off"),
        (b"clip\na\0\n", "line 2 has a NUL byte"),
        (b"clip,label\na,b\nc\n", "line 3 has 1 cells, but line 1 names 2 columns"),
        (b"clip,label\na,b,c\n", "line 2 has 3 cells, but line 1 names 2 columns"),
        (b"clip,clip\na,b\n", "line 1 names a column twice"),
        (b'clip\n"a\n', "line 2 cannot be read as csv"),
        (b"clip\n" + b"a" * 200_000 + b"\n", "line 2 cannot be read as csv"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"t.csv: {reason}") as error:
        read_table(tmp_path / "t.csv")
    assert "\n" not in str(error.value)


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"")
    assert read_table(tmp_path / "t.csv") == ([], [])


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert read_text(tmp_path / "t.txt") == "café"
