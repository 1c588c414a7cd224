"""The figure of a prediction over time."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from stp.figures import plots
from stp.predict.reports import save_figure
from stp.predict.videos import VideoPrediction
from stp.predict.windows import Window
from stp.video.decoding import VideoFacts, even_times


def test_the_figure_has_the_papers_style_and_names_instead_of_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[list[str], list[float], str]] = []
    close = plt.close

    def keep(figure: plt.Figure) -> None:
        drawn.append(
            ([axes.get_title() for axes in figure.axes], list(figure.get_size_inches()), plt.rcParams["font.family"][0])
        )
        close(figure)

    monkeypatch.setattr(plots.plt, "close", keep)
    facts = VideoFacts(50, 64, 48, 25.0, even_times(50, 25.0))
    windows, shares = (Window(0, 25), Window(25, 25)), np.array([[0.9, 0.1], [0.2, 0.8]])
    paths = [tmp_path / "monday/a.mp4", tmp_path / "monday/b.mp4", tmp_path / "tuesday/b.mp4"]
    videos = [VideoPrediction(path, facts, facts.times, windows, shares, 0.1) for path in paths]
    save_figure(tmp_path / "p.png", videos, ("nod", "wave"))
    with plots.styled([]):
        family = plt.rcParams["font.family"][0]
    ((titles, size, used),) = drawn
    assert titles == ["a.mp4", str(paths[1]), str(paths[2])]
    assert size[0] == plots.PAGE
    assert used == family
