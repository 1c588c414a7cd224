"""Bars on a terminal, whole lines if jobs share the terminal, nothing in a log."""

import io

import pytest

from stp.system import progress as module
from stp.system.progress import STYLE, choose_style, progress


def shown(monkeypatch: pytest.MonkeyPatch, style: str) -> str:
    monkeypatch.setenv(STYLE, style)
    stream = io.StringIO()
    assert list(progress(range(3), desc="fold1", unit="epoch", file=stream)) == [0, 1, 2]
    return stream.getvalue()


def test_bar_stays_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\rfold1: 100%" in shown(monkeypatch, "bar")


def test_lines_are_whole_and_tell_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0)
    text = shown(monkeypatch, "lines").removesuffix("\r")
    assert "\r" not in text
    lines = text.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("fold1: ") for line in lines)
    assert any("2/3" in line and "<00:00" in line for line in lines)


def test_short_work_gives_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, "lines").strip("\r") == ""


def test_nothing_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, "none") == ""


@pytest.mark.parametrize(
    ("watched", "shared", "style"), [(True, False, "bar"), (True, True, "lines"), (False, True, "none")]
)
def test_style_of_a_process(monkeypatch: pytest.MonkeyPatch, watched: bool, shared: bool, style: str) -> None:
    monkeypatch.setenv(STYLE, "")  # so that it is as before afterwards
    monkeypatch.delenv(STYLE)
    choose_style(watched, shared)
    assert module.os.environ[STYLE] == style
