"""Figures: confusion matrices as the paper's Figure 5."""

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
