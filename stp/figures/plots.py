"""Figures for print, each as vector pdf and as png: confusion matrices, accuracies of classes, training curves.

The look is in `paper.mplstyle`. Sizes are those on paper, so that labels stay readable for 6 classes as for 51.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")  # before pyplot: no display on servers
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stp.figures.style import COLUMN, PAGE, save_figure, styled
from stp.system.files import complete_file

FEW = 15  # most classes for which every cell and bar has room for words
FEW_METHODS = 5  # most methods whose bars fit beside one another
SMALL = 5  # points


def save_confusion(stem: Path, counts: np.ndarray, classes: Sequence[str], title: str) -> None:
    """A confusion matrix (paper's Figure 5), rows the true classes in percent of their clips.

    With up to 15 classes the cells hold percent and, in brackets, counts. With more they hold percent only, and the
    colours also show rare confusions.
    """
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    few, number = len(classes) <= FEW, len(classes)
    with styled([*classes, title]):
        width = float(np.clip(1.6 + 0.42 * number, 2.5, PAGE)) if few else PAGE
        figure, axes = plt.subplots(figsize=(width, width * 0.86))
        image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(1 if few else 0.5, 0, 100))
        axes.spines[:].set_visible(True)
        _write_cells(axes, shares, counts)
        size = 7 if few else SMALL
        names = [f"{name} ({total})" for name, total in zip(classes, totals[:, 0], strict=True)]
        turn = 45 if few else 90
        axes.set_xticks(
            range(number), classes, rotation=turn, ha="right", va="center", rotation_mode="anchor", fontsize=size
        )
        axes.set_yticks(range(number), names, fontsize=size)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class (its test clips)")
        axes.set_title(title)
        bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.045, 1)), label="% of the true class's test clips")
        bar.outline.set_linewidth(0.6)
        save_figure(stem, figure, f"Confusion matrix: {title}; rows are true classes, in % of their tests.")


def _write_cells(axes: Axes, shares: np.ndarray, counts: np.ndarray) -> None:
    """Write percent, and counts if there is room, into the cells that are not empty."""
    few = len(counts) <= FEW
    dark = 55 if few else 30
    for row, column in np.argwhere(counts if few else shares > 0.5):
        words = f"{shares[row, column]:.0f}" + (f"\n({counts[row, column]})" if few else "")
        colour = "white" if shares[row, column] > dark else "black"
        size = 6 if few else min(6, 200 / len(counts))
        axes.text(column, row, words, ha="center", va="center", fontsize=size, linespacing=1.05, color=colour)


def save_class_accuracies(
    stem: Path, shares: Mapping[str, np.ndarray], classes: Sequence[str], clips: np.ndarray
) -> None:
    """Accuracy of each class (paper's Figure 6): a bar for each class and method, with its interval.

    `shares` is percent (classes, 3) by method: accuracy, low and high, NaN for a class without clips; `clips`
    (classes,) counts them. Up to 15 classes are side by side, more are below one another. Of more than 5 methods a map
    shows the accuracies alone.
    """
    names = [f"{name} ({count})" for name, count in zip(classes, clips, strict=True)]
    with styled([*classes, *shares]):
        if len(shares) <= FEW_METHODS:
            figure = _class_bars(shares, names)
            words = "Accuracy of each class with its 95 % interval; clips of the class in brackets."
        else:
            figure = _class_map(shares, names)
            words = "Accuracy of each class in %, by method; clips of the class in brackets."
        save_figure(stem, figure, words)


def _class_bars(shares: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """A bar for each class and method, with its interval."""
    few, number = len(names) <= FEW, len(names)
    places, thickness = np.arange(number), 0.8 / len(shares)
    width = float(np.clip(0.8 + number * (0.3 + 0.14 * len(shares)), COLUMN, PAGE))
    figure, axes = plt.subplots(figsize=(width, 2.3) if few else (PAGE, 0.6 + 0.165 * number))
    for place, (method, values) in enumerate(shares.items()):
        at = places + (place - (len(shares) - 1) / 2) * thickness
        height, *sides = values.T
        reach = np.abs(np.array(sides) - height)
        if few:
            whiskers = {"elinewidth": 0.6, "capthick": 0.6}
            bars = axes.bar(
                at, height, thickness, label=method, edgecolor="black", yerr=reach, capsize=1.2, error_kw=whiskers
            )
            axes.bar_label(bars, [f"{v:.0f}" if np.isfinite(v) else "" for v in height], fontsize=6, padding=1)
        else:
            axes.barh(
                at,
                height,
                thickness,
                label=method,
                edgecolor="black",
                linewidth=0.25,
                xerr=reach,
                error_kw={"elinewidth": 0.4},
            )
    _label_classes(axes, names, few)
    entry = 0.5 + 0.05 * max(map(len, shares))  # inches of the legend: a patch, and about 0.05 a letter
    columns = int(np.clip(figure.get_figwidth() // entry, 1, len(shares)))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)
    return figure


def _class_map(shares: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """The accuracies as colours and figures: methods down and classes across or, of more than 15, the other way."""
    few, methods = len(names) <= FEW, list(shares)
    values = np.stack([share[:, 0] for share in shares.values()])  # (methods, classes)
    down, across = (methods, names) if few else (names, methods)
    values = values if few else values.T
    width = float(np.clip(2.4 + 0.42 * len(across), COLUMN, PAGE))
    figure, axes = plt.subplots(figsize=(width, 0.9 + 0.165 * len(down)))
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    axes.spines[:].set_visible(True)
    for row, column in np.argwhere(np.isfinite(values)):
        share = values[row, column]
        colour = "white" if share > 55 else "black"
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=6, color=colour)
    turn = 30 if few else 90
    axes.set_xticks(range(len(across)), across, rotation=turn, ha="right", va="center", rotation_mode="anchor")
    axes.set_yticks(range(len(down)), down, fontsize=7 if few else SMALL + 1)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, label="accuracy in %", pad=0.01, aspect=40)
    bar.outline.set_linewidth(0.6)
    return figure


def _label_classes(axes: Axes, names: Sequence[str], few: bool) -> None:
    """Axes of the bars: classes across and percent upwards, or classes downwards and percent across."""
    places = range(len(names))
    if few:
        axes.set_xticks(places, names, rotation=30, ha="right", rotation_mode="anchor")
        axes.set(ylim=(0, 110), ylabel="accuracy in %", yticks=range(0, 101, 20))
        axes.grid(axis="y")
        axes.tick_params(axis="x", length=0)
    else:
        axes.set_yticks(places, names, fontsize=SMALL + 1)
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel="accuracy in %")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)


def save_curves(stem: Path, logs: Sequence[pd.DataFrame], title: str) -> None:
    """Loss and training accuracies over epochs: every fold and seed thin, their mean bold.

    `logs` have a row per epoch with epoch, loss, accuracy, class_accuracy and learning_rate. Epochs after which the
    learning rate falls are marked.
    """
    runs = pd.concat(logs, keys=range(len(logs)), names=["run", None])
    with styled([title]):
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.2))
        _draw_curve(left, runs, "loss", "loss", "C0", 1)
        _draw_curve(right, runs, "accuracy", "accuracy", "C0", 100)
        _draw_curve(right, runs, "class_accuracy", "class accuracy", "C1", 100)
        rate = logs[0].set_index("epoch")["learning_rate"]
        for axes in (left, right):
            for epoch in rate.index[rate.diff() < 0]:
                axes.axvline(epoch - 0.5, color="0.6", linewidth=0.6, linestyle=":")
            axes.set_xlabel("epoch")
            axes.grid(axis="y")
            left_end, right_end = (1, rate.index.max()) if len(rate) > 1 else (0.5, 1.5)
            axes.set_xlim(left_end, right_end)
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        left.set(ylabel="training loss", ylim=(0, None))
        right.set(ylabel="training accuracy in %", ylim=(0, 103))
        right.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2
        )  # above, where it hides nothing
        number = f"{len(logs)} runs" if len(logs) > 1 else "1 run"
        figure.suptitle(f"{title} ({number})", fontsize=8)
        thin = "each fold and seed thin, their mean bold; dotted lines: the learning rate falls"
        save_figure(stem, figure, f"Training: {title}; {thin}.")


def _draw_curve(axes: Axes, runs: pd.DataFrame, name: str, label: str, colour: str, scale: float) -> None:
    """Draw one column of the logs."""
    marker = "o" if runs["epoch"].nunique() == 1 else None
    for _, run in runs.groupby(level="run"):
        axes.plot(run["epoch"], scale * run[name], color=colour, linewidth=0.5, alpha=0.4, marker=marker, markersize=2)
    mean = scale * runs.groupby("epoch")[name].mean()
    axes.plot(mean.index, mean, color=colour, linewidth=1.6, label=label, marker=marker, markersize=3)


def save_timeline(path: Path, videos: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: tuple[str, ...]) -> None:
    """Draw class probabilities over time as PNG, one plot per video.

    `videos` gives, by title, the middles of the windows in seconds, (n,), and their probabilities, (n, classes).
    Classes that are never the most probable are grey and have no name.
    """
    named = sorted({int(i) for _, rows in videos.values() for i in rows.argmax(1)})
    with styled([*videos, *classes]):
        own = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        colours = own if len(named) <= len(own) else plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
        figure, all_axes = plt.subplots(len(videos), figsize=(PAGE, 1.9 * len(videos) + 0.3), squeeze=False)
        for axes, (title, (times, rows)) in zip(all_axes[:, 0], videos.items(), strict=True):
            for i in range(len(classes)):
                if i not in named:
                    axes.plot(times, 100 * rows[:, i], color="0.8", linewidth=0.8)
            for place, i in enumerate(named):
                colour = colours[place % len(colours)]
                axes.plot(times, 100 * rows[:, i], color=colour, marker=".", markersize=3, label=classes[i])
            axes.set(title=title, ylim=(0, 100), ylabel="probability in %")
            axes.grid(axis="y")
        all_axes[-1, 0].set_xlabel("seconds, middle of the window")
        figure.legend(*all_axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
        try:
            with complete_file(path) as temporary:
                figure.savefig(temporary, format="png")
        finally:
            plt.close(figure)
