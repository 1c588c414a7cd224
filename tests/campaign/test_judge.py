"""The campaign's judge: it sees the faults that it looks for."""

from pathlib import Path

import pytest

from tests.campaign.case import RIGHT, Verdict, table
from tests.campaign.clips import SIZE, number_of, picture
from tests.campaign.command import Ended, crash, refusal
from tests.campaign.kills import incomplete
from tests.campaign.results import difference


def ended(code: int, stderr: str = "", hung: bool = False) -> Ended:
    return Ended(("stp", "score"), code, "", stderr, 0.1, hung)


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (ended(0), None),
        (ended(1, "stp: ERROR: a.h5: not a shard\n"), None),
        (ended(-11), "signal"),
        (ended(-9, hung=True), "hang"),
        (ended(1, "Traceback (most recent call last):\nOSError\n"), "traceback"),
        (ended(2, "stp: CRITICAL: unexpected error, please report it\n"), "traceback"),
    ],
)
def test_a_crash_is_a_signal_a_hang_or_a_traceback(command: Ended, fault: str | None) -> None:
    assert crash(command) == fault


def test_a_refusal_is_at_most_three_lines_and_names_the_file() -> None:
    assert refusal(ended(1, "stp: INFO: begins\nstp: ERROR: a.h5: not a shard\n"), "a.h5") is None
    assert refusal(ended(1, "stp: WARNING: skipped a.h5\nstp: ERROR: one is skipped\n"), "a.h5") is None
    assert refusal(ended(1, "stp: ERROR: not a shard\n"), "a.h5") == "words"
    assert refusal(ended(1, "a.h5\n" * 4), "a.h5") == "words"


def test_a_usage_error_is_one_message_whatever_its_frame() -> None:
    lines = [
        "Usage: stp score",
        "╭─ Error ─╮",
        "│ file 'a.│",
        "│ h5' is  │",
        "│ missing │",
        "│ here    │",
        "╰─────────╯",
    ]
    assert refusal(ended(2, "\n".join(lines)), "a.h5") is None


def test_files_that_lack_a_byte_or_a_name_differ(tmp_path: Path) -> None:
    for name in ("made", "reference"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("clip,label\n1,2\n")
        (tmp_path / name / "log.csv").write_text(f"epoch,seconds\n1,{name}\n")
    made, reference = tmp_path / "made", tmp_path / "reference"
    assert difference(made, reference) is None
    assert incomplete(made, reference) is None
    (made / "a.csv").write_text("clip,label\n1,\n")
    assert difference(made, reference) == "a.csv"
    assert incomplete(made, reference) == "a.csv"
    (made / "a.csv").unlink()
    assert difference(made, reference) == "a.csv is in one only"
    assert incomplete(made, reference) is None


def test_a_frame_shows_its_number_at_any_size() -> None:
    for number in (0, 1, 2, 77, 128, 255):
        assert number_of(picture(number, *SIZE)) == number
        assert number_of(picture(number, 97, 73)) == number


def test_the_table_counts_outcomes_of_each_part() -> None:
    lines = table({"videos": [Verdict("a", RIGHT), Verdict("b", "hang"), Verdict("c", "skipped")]})
    names, _, videos, total = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    row = dict(zip(names, videos, strict=True))
    assert (row["tried"], row["right"], row["hang"], row["signal"], row["skipped"]) == ("2", "1", "1", "0", "1")
    assert total[1:] == videos[1:]
