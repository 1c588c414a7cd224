"""Figures: confusion matrices as the paper's Figure 5, and probabilities over time."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import pyplot as plt

from stp.files import complete_file


def save_confusion(path: Path, counts: np.ndarray, classes: tuple[str, ...], title: str) -> None:
    """Draw a confusion matrix, rows the true classes in percent of their clips with the counts below, as PNG."""
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 2.0 + 0.75 * len(classes)
    figure, axes = plt.subplots(figsize=(side + 0.6, side), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            axes.text(
                column,
                row,
                f"{shares[row, column]:.0f}\n({counts[row, column]})",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[row, column] > 55 else "black",
            )
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(classes)), [f"{name} ({total})" for name, total in zip(classes, totals[:, 0], strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (clips)")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="% of the true class")
    with complete_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
    plt.close(figure)


def save_timeline(path: Path, videos: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: tuple[str, ...]) -> None:
    """Draw class probabilities over time as PNG, one plot a video.

    `videos` gives, by title, the middles of the windows in seconds, (n,), and their probabilities, (n, classes).
    Classes that are nowhere the most probable are grey and without name.
    """
    named = sorted({int(i) for _, rows in videos.values() for i in rows.argmax(1)})
    colours = plt.get_cmap("tab10" if len(named) <= 10 else "tab20").colors  # type: ignore[attr-defined]
    figure, all_axes = plt.subplots(
        len(videos), figsize=(9, 2.6 * len(videos) + 0.6), layout="constrained", squeeze=False
    )
    for axes, (title, (times, rows)) in zip(all_axes[:, 0], videos.items(), strict=True):
        for i in range(len(classes)):
            if i not in named:
                axes.plot(times, 100 * rows[:, i], color="0.8", linewidth=0.8)
        for place, i in enumerate(named):
            colour = colours[place % len(colours)]
            axes.plot(times, 100 * rows[:, i], color=colour, marker=".", markersize=4, label=classes[i])
        axes.set_title(title, fontsize=10)
        axes.set_ylim(0, 100)
        axes.set_ylabel("probability in %")
    all_axes[-1, 0].set_xlabel("seconds, middle of the window")
    figure.legend(*all_axes[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    with complete_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    plt.close(figure)
